"""The power spectrum of a picture's luminance, mean of windows (Welch 1967), beside its noise."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..light.luma import REC601

# Sides of the windows: of large pictures, and of small ones.
WINDOW, SMALL_WINDOW = 128, 64
MOST_WINDOWS = 16  # per axis
# Variance of what rounding to 8 bits adds, in [-1, 1] units.
QUANTISATION = (2 / 255) ** 2 / 12
# Frequencies in which a window shows structure, in cycles per pixel.
STRUCTURE = 0.03, 0.2
# How far the power of noise is known, as standard deviation of its logarithm; and that of an
# encoder's rounding, which is less where whole blocks are rounded to 0.
KNOWN, ROUNDED = 0.15, 1.0
# What an encoder has rounded is seen where the power, a mean of so many frequencies a side, is
# more than so many times that of rounding.
SEEN, AROUND = 5.0, 9
# Frequencies without which nothing is told.
LEAST = 50
# Units of a JPEG's table in [-1, 1], and its side.
STEP, BLOCK = 2 / 255, 8


@dataclass(frozen=True)
class PowerSpectrum:
    """log P and the noise's part of P at frequencies (row, column) in cycles per pixel, each (n,).

    P is 1 for white noise of variance 1.    window: side of the windows.    doubt: standard
    deviation of the logarithm of the noise.
    """

    log_power: Tensor
    noise: Tensor
    row: Tensor
    column: Tensor
    window: int
    doubt: float = KNOWN

    def thinned(self, every: int) -> "PowerSpectrum":
        """Every so many of the frequencies."""
        return replace(
            self,
            log_power=self.log_power[::every],
            noise=self.noise[::every],
            row=self.row[::every],
            column=self.column[::every],
        )


def measure_spectrum(
    picture: Tensor, noise: float | Tensor, table: Tensor | None = None
) -> PowerSpectrum | None:
    """Mean power of Hann windows, each scaled to equal contrast; None without any structure.

    picture: (1, C, H, W) in [-1, 1].    noise: its standard deviation if it is white; else the
    power spectrum of what it adds to the luminance, (T, T), as of fft2.    table: (8, 8), the
    steps to which a JPEG has rounded the luminance: what it hides is left out.
    """
    grey = _luminance(picture)
    side = min(grey.shape)
    if side < SMALL_WINDOW or not bool(torch.isfinite(grey).all()):
        return None
    window = WINDOW if side >= WINDOW else SMALL_WINDOW
    power = _powers(grey, window)
    row = torch.fft.fftfreq(window, dtype=torch.float64)[:, None].expand(power.shape[1:])
    column = torch.fft.rfftfreq(window, dtype=torch.float64).expand(power.shape[1:])
    radius = torch.hypot(row, column)
    floor = _floor(noise, window, picture.shape[1])
    if table is not None:
        floor = torch.maximum(floor, _rounding(table, row, column))
    band = (radius > STRUCTURE[0]) & (radius < STRUCTURE[1])
    least = floor[band].mean()
    contrast = power[:, band].mean(1) - least
    structured = contrast > 2 * least
    if not structured.any():
        return None
    weight = structured / (contrast.clamp(min=0) + 5 * least)
    mean = torch.einsum("n,nij->ij", weight, power) / weight.sum()
    # Near the axes lie the border's leakage and the long edges of buildings and horizons.
    off_axis = (row.abs() > 1.5 / window) & (column > 1.5 / window)
    keep = off_axis & (radius > 2.5 / window) & (radius < 0.48)
    if table is not None:
        keep &= _smooth(mean) > SEEN * floor
    if int(keep.sum()) < LEAST:
        return None
    log_power = torch.maximum(mean, 1e-3 * floor)[keep].log().float()
    doubt = KNOWN if table is None else ROUNDED
    return PowerSpectrum(log_power, floor[keep].float(), row[keep], column[keep], window, doubt)


def luminance_weights(channels: int) -> Tensor:
    """(C,), of sum 1."""
    if channels == 3:
        return torch.tensor(REC601, dtype=torch.float64)
    return torch.full((channels,), 1 / channels, dtype=torch.float64)


def _luminance(picture: Tensor) -> Tensor:
    """(H, W) float64 on the CPU."""
    channels = picture[0].detach().cpu().double()
    return torch.einsum("c,chw->hw", luminance_weights(len(channels)), channels)


def _floor(noise: float | Tensor, window: int, channels: int) -> Tensor:
    """Power of the noise of the luminance as a window sees it, (window, window // 2 + 1)."""
    half = window, window // 2 + 1
    if not isinstance(noise, Tensor):
        variance = float(luminance_weights(channels).square().sum()) * noise**2
        return torch.full(half, variance + QUANTISATION, dtype=torch.float64)
    # Between the frequencies that were measured: what is not near is not correlated.
    side = len(noise)
    lags = torch.fft.fftfreq(side, 1 / side).long()
    covariance = torch.zeros(window, window, dtype=torch.float64)
    covariance[lags[:, None], lags] = torch.fft.ifft2(noise.double()).real
    floor: Tensor = torch.fft.rfft2(covariance).real.clamp(min=QUANTISATION)
    return floor


def _rounding(table: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Power of rounding to the steps of a table, at frequencies (row, column)."""
    # A coefficient of frequency k of 8 is about the power at k / 16 cycles per pixel.
    where = torch.stack([column.abs(), row.abs()], -1) * (4 * BLOCK / (BLOCK - 1)) - 1
    steps = F.grid_sample(
        table.to(row)[None, None], where[None], padding_mode="border", align_corners=True
    )
    return (STEP * steps[0, 0]) ** 2 / 12


def _smooth(power: Tensor) -> Tensor:
    """Geometric mean over AROUND x AROUND frequencies, (window, window // 2 + 1)."""
    power = power.clone()
    power[0, 0] = power[0, 1]  # windows are less their mean
    ordered = torch.fft.fftshift(power.log(), dim=0)[None, None]
    mean = F.avg_pool2d(ordered, AROUND, 1, AROUND // 2, count_include_pad=False)[0, 0]
    smooth: Tensor = torch.fft.ifftshift(mean, dim=0).exp()
    return smooth


def _powers(grey: Tensor, window: int) -> Tensor:
    """Of every window, less its mean, (n, window, window // 2 + 1)."""
    hann = torch.hann_window(window, dtype=torch.float64)
    taper = hann[:, None] * hann
    blocks = windows(grey, window)  # (n, window, window)
    blocks = blocks - (blocks * taper).sum((1, 2), keepdim=True) / taper.sum()
    power: Tensor = torch.fft.rfft2(blocks * taper).abs() ** 2 / (taper**2).sum()
    return power


def windows(grey: Tensor, window: int, most: int = MOST_WINDOWS) -> Tensor:
    """Evenly spread windows, about half overlapping, (n, window, window).

    grey: (H, W).    most: windows per axis.
    """
    corners = []
    for size in grey.shape:
        count = min(most, 1 + round(2 * (size - window) / window))
        corners.append([round(k * (size - window) / max(count - 1, 1)) for k in range(count)])
    return torch.stack(
        [grey[i : i + window, j : j + window] for i in corners[0] for j in corners[1]]
    )
