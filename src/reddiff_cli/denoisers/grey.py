"""A grey picture as a colour network has learned to see pictures: with noise of its own in each
channel.

Three equal channels of z = x + s eps carry the same noise, which a network trained on independent
noise takes for a part of the picture. Noise that is independent in the channels with a level of
sqrt(3) s has the level s in their mean; so the grey z is completed to such a colour picture by
noise without a mean, and the network is told sqrt(3) s. The mean of its D is the answer. 8 grey
crops of 128x128 with the prior `natural`, noise 15 / 25 / 50 of 255: 35.4 / 32.8 / 29.5 dB; equal
channels at level s 27.9 / 24.1 / 19.4 dB, at sqrt(2) s 31.4 / 27.5 / 23.1, at sqrt(3) s 31.2 /
28.9 / 26.5.
"""

import math

import torch
from torch import Tensor

from ..machine.transfer import send
from ..schedule import Schedule

CHANNELS = 3


class Completion:
    """z and t of grey pictures -> z and t of colour pictures, the same every time.

    The noise that completes a picture is decided by t and the size alone: no row sees another.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._s = schedule.s
        self._highest = float(self._s[-1])

    def __call__(self, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """z: (B, 1, H, W), t: (B,) -> (B, 3, H, W) and (B,), on their devices."""
        steps = t.tolist()
        told = {step: self._told(step) for step in set(steps)}
        noise = {step: self._noise(step, told[step], z) for step in told}
        completed = z + torch.stack([noise[step] for step in steps])
        return completed, torch.tensor([told[step] for step in steps], device=t.device)

    def _told(self, step: int) -> int:
        """The time step of the level sqrt(3) s, or the last one if there is none so high."""
        level = math.sqrt(CHANNELS) * float(self._s[step])
        return self._schedule.nearest_t(min(level, self._highest))

    def _noise(self, step: int, told: int, z: Tensor) -> Tensor:
        """(3, H, W), zero in the mean of the channels; with s^2 each has the level that is told.

        Drawn on the CPU: the same on every device.
        """
        generator = torch.Generator().manual_seed(step)
        eps = torch.randn((CHANNELS, *z.shape[2:]), generator=generator, dtype=z.dtype)
        missing = float(self._s[told]) ** 2 - float(self._s[step]) ** 2
        spread = math.sqrt(max(0.0, missing) * CHANNELS / (CHANNELS - 1))
        return send(spread * (eps - eps.mean(0)), z.device)
