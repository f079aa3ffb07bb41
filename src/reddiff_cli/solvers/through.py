"""Pictures measured through a linear operator, with noise: the network sees y's noise as noise.

What it was trained on is z = x + s n. mu + s xi is not such a z: where A lets much through, mu
holds a part of y's own noise, which D takes for texture, and lacks what earlier steps took for
noise. So z is made of y as far as y is less noisy than s, of mu elsewhere, and of new noise that
makes it s in all: what `Seen` does pixel by pixel, in every direction of A at once and without its
singular value decomposition. Such draws by a perturbed right-hand side are those of Papandreou and
Yuille ("Gaussian sampling by local perturbations", 2010); DDRM (Kawar et al. 2022, arXiv
2201.11793) treats its singular directions alike.

(An exact denoiser of Gaussian pictures is linear and tells no noise from texture: with it,
mu + s xi comes nearer to the mean of x given y. Networks are no such denoisers.)
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..signatures import DataTerm

# Weight of the prior: large, as D knows y already. 6 training photographs, 128x128, 20 evaluations
# with starts as of tasks/degrees.py, dB, with mu + s xi (from s = 2, the best of three weights and
# ends) and like this:
#                  noise 0.05      0.01
#   gaussian:2     30.08  30.93    32.99  33.56
#   motion:15,30   30.12  31.35    34.88  35.20
#   x4 bicubic     27.92  28.28    30.07  30.12
#   x2 bicubic     32.22  32.82    35.46  35.60
# r (`around`) 0.7 and 0.5 times as large, with other noise and weights to go with it, gains 0.0 to
# 0.15 dB; but with noise told 0.85 times what it is, motion:9,30 loses 0.8 dB by the first.
BELIEF = 4.5
# Noise that is wider than a pixel counts so many times in z, which must not show more of it than
# the network knows. 4 validation crops of 224x224, noise of a simulated mosaic of 2 / 5 of 255,
# estimated, 20 evaluations, dB, with 1 / 1.3 / 1.6 / 2 and last with mu + s xi:
#   motion:9,30   2   30.89  32.21  32.74  32.99  31.25    5   30.27  31.40  31.44  31.21  30.25
#   gaussian:2    2   31.63  31.68  31.63  31.55  31.48    5   30.35  30.33  30.22  30.09  30.03
WIDER = 1.6


class BentTerm(DataTerm, Protocol):
    """An operator that is nearly linear near a picture, where its data step is exact."""

    def tangent(self, x: Tensor) -> DataTerm: ...


def tangent(operator: DataTerm | BentTerm, x: Tensor) -> DataTerm:
    """The linear map that A is near x; A itself if it is linear."""
    near: DataTerm = operator.tangent(x) if hasattr(operator, "tangent") else operator
    return near


@dataclass(frozen=True)
class Through:
    """y = A x + sigma n, n ~ N(0, I).

    operator: A, linear or with a tangent.    y: of any shape that A returns.    sigma: above 0,
    in [-1, 1] units.
    """

    operator: DataTerm | BentTerm
    y: Tensor
    sigma: float

    def around(self, mu: Tensor, s: float, xi: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """(centre, deviation) of z = centre + deviation, x + s n as far as y and mu tell x.

        mu: (B, C, H, W) in [-1, 1].    xi, other: N(0, I) of its shape, independent.

        With r = sigma^2 / (2 s^2),
            centre    = argmin_x |A x - y|^2 + r |x - mu|^2,
            deviation = argmin_x |A x - s A xi|^2 + r |x - s other|^2,
        A being that near the centre in the second.
        In a direction where A multiplies by a, y has the weight w = a^2 / (a^2 + r) in the centre
        and leaves noise w sigma / a in it. The deviation has the variance s^2 (w^2 + (1 - w)^2),
        and both together s^2, as (w sigma / a)^2 = 2 w (1 - w) s^2: whatever a is.
        """
        r = self.sigma**2 / (2 * s**2)
        centre = self.operator.data_step(mu, self.y, r)
        near = tangent(self.operator, centre)
        deviation = near.data_step(s * other, s * near(xi), r)
        return centre, deviation
