"""How noisy a picture is.

The estimate is the median absolute value of the diagonal db2 wavelet band over 0.6745 (Donoho and
Johnstone 1994): pictures leave little there, noise leaves all of itself. Texture leaves something
too, so it is taken in the flattest places alone, which are looked for in means of 4x4 pixels:
these say next to nothing about the diagonal band of the noise.

24 training photographs of 256x256, noise of 0 / 1 / 2 / 5 / 10 / 25 of 255, rms error of the
estimate (`tests/benchmarks/noise.py`): 1.0 / 1.0 / 0.9 / 0.8 / 0.7 / 1.1; in all places, less an
average texture of 1.5, which blurred pictures lack: 2.2 / 2.1 / 2.0 / 1.9 / 1.6 / 0.8. With the
latter, deblurring gaussian:1 at noise 2 lost 3.7 dB of 38.7 on 8 validation crops (`--limit 8
--size 192 --restore`), and loses nothing now. Differences between channels would do with 0.2 up to
10, and see nothing of grain that channels share.

Cameras (demosaicing) and lossy files leave grain that is wider than a pixel: little of it in that
band, more in the band of the means of 2x2 pixels, where texture is strong as well. What is there
in the flattest hundredth is taken for noise. Going through levels, the prior, which has learned
independent pixels, removes such grain best when told RISE times as much of it. 6 validation crops
of 384x384, noise of a mosaic, told 1, 1.5 and 2 times what it is, and as the command takes it by
itself (`noise.py FOLDER --camera --restore --limit 6 --size 384`), dB:

    noise, of 255       2                        5                        10
    told, times         1    1.5  2     itself   1    1.5  2     itself   1    1.5  2     itself
    deblur gaussian:1   30.9 32.9 33.4  33.8     31.0 32.4 32.0  32.3     28.9 30.7 30.3  30.7
    denoise             35.8 35.8 35.8  35.2     34.6 34.3 33.8  34.6     32.8 32.3 31.5  32.7
    denoise by levels   35.7 36.0 36.0  35.2     34.2 34.6 34.5  34.3     31.3 32.5 32.6  31.5

(The noise of these experiments was partly the solver's own, which the benchmark no longer does.)

Texture that fills a picture passes for noise in all of this; the network knows it, and is asked
for white noise where it can be (solvers/consistency.py).

`deblur` makes of the estimate what tasks/degraded.py says. Denoising does without: it hears the
noise (estimation/coloured_noise.py), and what is told scales that; levels are what it went
through before, and still does for samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .clipping import made_good

# High-pass filter of the Daubechies wavelet with two vanishing moments, of unit norm.
DB2_HIGH = (-0.4829629131445341, 0.8365163037378079, -0.2241438680420134, -0.1294095225512604)
GAUSSIAN_MEDIAN = 0.6745
SMALLEST = 8  # side of a picture that has details enough
# The flattest places: this share, and at least so many, so that their median is good to 4 %.
FLAT, LEAST = 0.1, 1000
# The same for means of 2x2 pixels.
COARSE, COARSE_LEAST = 0.01, 100
# Details that these places need, and the texture (of 255) that they have nevertheless. Blurred
# pictures have less of it: 2 of 255 of a camera's noise read as 3.2 there, where 1.5 would leave
# 1.6 and cost `deblur` 3.5 dB.
SHARP, BLURRED = (8000, 1.5), (800, 0.5)
# Noise of 2x2 means over that of pixels: up to the first it is white, from the second on smooth.
WHITE, SMOOTH = 1.2, 1.6
LEAST_FINE = 0.3  # of 255, so that rounding to a constant gives no ratio
RISE = 1.5
# More than so many times what is there is not believed to be there. Told 1 / 1.5 / 2 times the
# white noise of 10 of 255, looks have 36.9 / 32.2 / 28.0 dB, the path through levels has 36.8 /
# 35.3 / 33.9 (6 validation crops of 192x192). 25 of 255 is found as 23.2 to 25.4.
THERE = 1.25
# In the mean of three channels noise of their own is 1 / sqrt(3) as large; so many times that is
# noise which they share, as that of a grey scan in three channels. 17 validation crops of 160x160,
# noise of 1 to 10 of 255: 0.92 to 1.26, one 1.59 at 1; shared noise 1.56 and more.
SHARED = 1.4
# Rests of rounding in what is constant. Frames and drawings have no noise to tell about.
NOTHING = 1e-6
# Texture alone reads as this much noise (of 255) in lossy files, whose flat places are too flat.
TEXTURE = 1.5
# Never less than rounding to 8 bits and a little of what the model of the damage leaves out.
FLOOR = 0.5
# Noise that JPEG or resizing has smoothed is underestimated.
FLOOR_SMOOTHED = 2.0


@dataclass(frozen=True)
class NoiseEstimate:
    """sigma: in [0, 1] units, as it is to be taken.    warning: empty, or why not to trust it.

    found: what the picture shows, before less than the least that is assumed becomes that.
    """

    sigma: float
    warning: str = ""
    found: float = 0.0


def estimate_noise(
    picture: Tensor, known: Tensor | None = None, *, smoothed: bool = False, blurred: bool = False
) -> NoiseEstimate:
    """Standard deviation of the noise of one picture, as the prior has to be told of it.

    picture: (1, C, H, W) in [-1, 1].    known: (1, 1, H, W), 1 = observed; only where all of a
    5 x 5 neighbourhood is.    smoothed: the file is a JPEG or was resized.    blurred: what is
    in the picture has been blurred before the noise came.
    """
    usable = usable_of(picture, known)
    fine = _sigma(picture, usable, (FLAT, LEAST))
    if fine is None:
        return NoiseEstimate(FLOOR_SMOOTHED / 255, "too little to measure the noise on")
    wide = _wide_sigma(picture, usable, fine, *(BLURRED if blurred else SHARP))
    sigma = max(fine, wide) / 2 * 255  # [-1, 1] -> of 255
    if not smoothed:
        return NoiseEstimate(max(sigma, FLOOR) / 255, found=sigma / 255)
    everywhere = (_sigma(picture, usable, None) or 0.0) / 2 * 255
    sigma = max(wide / 2 * 255, max(everywhere**2 - TEXTURE**2, 0.0) ** 0.5)
    low = sigma < FLOOR_SMOOTHED
    warning = "a lossy file hides its noise; the estimate is a guess" if low else ""
    return NoiseEstimate(max(sigma, FLOOR_SMOOTHED) / 255, warning, sigma / 255)


def wavelet_sigma(picture: Tensor, known: Tensor | None = None) -> float | None:
    """Noise of independent pixels in the units of the picture, None if there is nothing to see.

    Clipped pixels carry no noise and are left out; channels are combined by their mean square.
    """
    return _sigma(picture, usable_of(picture, known), (FLAT, LEAST))


def is_white(
    picture: Tensor, sigma: float, known: Tensor | None = None, *, smoothed: bool = False
) -> bool:
    """True if noise of sigma, in [0, 1] units, is there and differs in every value of every pixel.

    As far as the picture tells: what is too small to tell is taken for white, but not if the file
    smooths noise. All else as of `estimate_noise`.
    """
    if is_grey(picture):
        picture = picture[:, :1]
    usable = usable_of(picture, known)
    fine = _sigma(picture, usable, (FLAT, LEAST))
    if fine is None:
        return not smoothed
    if 2 * sigma > max(THERE * fine, 2 * FLOOR / 255):
        return False
    channels = picture.shape[1]
    if channels > 1 and _in_the_mean(picture, usable) > SHARED * fine / channels**0.5:
        return False
    found = _wide_share(picture, usable, fine, *SHARP)
    return not smoothed if found is None else found[0] < 0.5


def is_grey(x: Tensor) -> bool:
    """True if all channels of x (B, C, H, W) are the same, as those of a grey scan are."""
    return bool((x[:, :1] == x).all())


def _in_the_mean(picture: Tensor, usable: Tensor) -> float:
    """Noise of the mean of the channels."""
    mean, all_of_them = picture.mean(1, keepdim=True), usable.amin(1, keepdim=True)
    return _sigma(mean, all_of_them, (FLAT, LEAST)) or 0.0


def _wide_sigma(
    picture: Tensor, usable: Tensor, fine: float, enough: int, texture: float
) -> float:
    """What the prior has to be told of noise that is wider than a pixel; 0 if there is none.

    Arguments as of `_wide_share`.
    """
    share, grain = _wide_share(picture, usable, fine, enough, texture) or (0.0, 0.0)
    fine = max(fine, 2 * LEAST_FINE / 255)
    return share * RISE * grain + (1 - share) * fine if share else 0.0


def _wide_share(
    picture: Tensor, usable: Tensor, fine: float, enough: int, texture: float
) -> tuple[float, float] | None:
    """How far noise is wider than a pixel, 0 to 1, and its size in means of 2x2 pixels, doubled.

    None where the picture is too small to tell.    fine: noise of independent pixels.    enough:
    details without which nothing is said.    texture: in the flattest places, of 255.
    """
    if min(picture.shape[2:]) < 2 * SMALLEST:
        return None
    seen = -F.max_pool2d(-usable, 2)
    if float(seen.mean(1).sum()) < 4 * enough:  # a detail for every 2x2 of them
        return None
    means = 2 * F.avg_pool2d(picture, 2)  # of white noise as strong as it was
    found = _sigma(means, seen, (COARSE, COARSE_LEAST)) or 0.0
    grain = max(0.0, found**2 - (2 * texture / 255) ** 2) ** 0.5
    fine = max(fine, 2 * LEAST_FINE / 255)
    return min(1.0, max(0.0, (grain / fine - WHITE) / (SMOOTH - WHITE))), grain


def usable_of(picture: Tensor, known: Tensor | None = None) -> Tensor:
    """What `made_good` has it; 0 also where not all around is known, (1, C, H, W)."""
    if known is None:
        return made_good(picture)
    # What a hole shows, white or black, is not what noise has clipped.
    return made_good(picture * known) * _inner(known)


def _sigma(picture: Tensor, usable: Tensor, places: tuple[float, int] | None) -> float | None:
    """Noise by the diagonal band, None if there is nothing to see.

    places: only the flattest ones, their share and how many at least.
    """
    if min(picture.shape[2:]) < SMALLEST:
        return None
    details, whole = details_of(picture, usable)
    slope = None if places is None else slope_around(picture)
    squares, weights = [], []
    for values, seen in zip(details, whole, strict=True):
        chosen = seen
        if slope is not None and places is not None:
            chosen = _flattest(slope, values, seen, *places)
        if int(chosen.sum()) >= 16:
            squares.append((values[chosen].median() / GAUSSIAN_MEDIAN).square())
            weights.append(float(seen.sum()))  # a channel that is mostly clipped knows little
    if not squares:
        return None
    weight = torch.tensor(weights, dtype=picture.dtype, device=picture.device)
    return float((torch.stack(squares) @ weight / weight.sum()).sqrt())


def details_of(picture: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
    """The diagonal band as far as it is noise, absolute, and where it may be; both (C, h, w).

    usable: as of `usable_of`.
    """
    taps = torch.tensor(DB2_HIGH, dtype=picture.dtype, device=picture.device)
    kernel = torch.outer(taps, taps)[None, None]
    details = F.conv2d(picture[0][:, None], kernel, stride=2)[:, 0].abs()
    least = -F.max_pool2d(-usable[0][:, None], 4, stride=2)[:, 0]
    return least.clamp(min=1) * details, least > 0.5


def slope_around(picture: Tensor) -> Tensor:
    """How much the means of 4x4 pixels change around each detail, squared; (h, w)."""
    means = F.avg_pool2d(picture.mean(1, keepdim=True), 4, stride=2)
    # Neighbours that share no pixel are two apart.
    around = F.pad(means, (2, 2, 2, 2), mode="replicate")
    across = around[..., 2:-2, 4:] - around[..., 2:-2, :-4]
    down = around[..., 4:, 2:-2] - around[..., :-4, 2:-2]
    return F.avg_pool2d(across.square() + down.square(), 3, stride=1, padding=1)[0, 0]


def _flattest(slope: Tensor, details: Tensor, usable: Tensor, share: float, least: int) -> Tensor:
    """The usable places of the least slope; all of them if they are few, or constant mostly.

    slope, details, usable: (h, w).    share: of the places, but so many at least.
    """
    alive = (details > NOTHING) | (slope > NOTHING**2)
    alive = usable & (_least_around(alive.to(slope.dtype)[None, None], 3)[0, 0] > 0.5)
    count = int(alive.sum())
    if count < least or 2 * count < int(usable.sum()):
        return usable
    few = max(least, int(share * count))
    return alive & (slope <= slope[alive].kthvalue(few).values)


def _inner(known: Tensor) -> Tensor:
    """1 where a 5 x 5 neighbourhood is known."""
    return _least_around(known, 5)


def _least_around(x: Tensor, side: int) -> Tensor:
    """Minimum over squares of this odd side, (B, C, H, W)."""
    return -F.max_pool2d(-x, side, stride=1, padding=side // 2)
