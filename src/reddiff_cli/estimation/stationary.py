"""Stationary noise: its spectrum, told from tiles, and the filter that makes it of white noise."""

import torch
from torch import Tensor

# Side of a tile and of the filter, in pixels.
TILE = 16
# Squared frequencies, in periods per tile: from the first on detrending leaves what there was,
# and up to the last a Gaussian fits it.
KEPT, FITTED = 4, 13
# Power that may be fitted, relative to the largest: less is chance.
CERTAIN = 0.03
# The most that a frequency may get, relative to the lowest ones that are kept.
STEEPEST = 8.0


def spectrum_of(tiles: Tensor) -> Tensor:
    """Power of every frequency and covariance of its channels, (TILE, TILE, C, C)."""
    # Twice the side, as else opposite borders would count as neighbours; by the number of pairs,
    # as far neighbours have fewer.
    spectra = torch.fft.fft2(tiles, s=(2 * TILE, 2 * TILE)).permute(2, 3, 0, 1)
    power = torch.einsum("yxnc,yxnd->yxcd", spectra, spectra.conj()) / len(tiles)
    covariance = torch.fft.ifft2(power, dim=(0, 1)).real
    lags = torch.fft.fftfreq(TILE, 1 / TILE).long()  # 0 to 7, and -8 to -1
    pairs = TILE - lags.abs()
    near = covariance[lags[:, None], lags] / (pairs[:, None] * pairs)[..., None, None]
    smooth: Tensor = torch.fft.fft2(near, dim=(0, 1))
    return smooth


def undetrended(power: Tensor) -> Tensor:
    """With the power that detrended tiles have lost at the lowest frequencies, (T, T, C, C).

    From the frequencies above it goes on as a Gaussian, log power over squared frequency.

    Grain of 1.2, 1.5 and 2.5 pixels, 11, 14 and 10 of 255, is found as 10.7, 14.3 and 6.1; without
    as 9.4, 12.1 and 5.6, and then surroundings seem to tell of holes what they cannot.
    """
    steps = torch.fft.fftfreq(TILE, 1 / TILE, device=power.device)
    squares = steps[:, None].square() + steps.square()
    total = power.real.diagonal(dim1=2, dim2=3).sum(-1)
    fitted = (squares >= KEPT) & (squares <= FITTED)
    fitted &= total > CERTAIN * total[squares >= KEPT].max()
    lowest = (squares >= KEPT) & (squares <= KEPT + 1)
    if not bool(fitted.any()):
        return power
    x, y = squares[fitted] - squares[fitted].mean(), total[fitted].clamp(min=1e-20).log()
    slope = ((x * y).sum() / x.square().sum().clamp(min=1e-6)).clamp(max=0)
    rise = (slope * (squares - squares[lowest].mean())).exp().clamp(max=STEEPEST)
    base: Tensor = power[lowest].mean(0)
    lost = (squares < KEPT) & (total < rise * total[lowest].mean())
    return torch.where(lost[..., None, None], rise[..., None, None] * base, power)


def white_power(channels: int) -> Tensor:
    """Of white noise of variance 1, (TILE, TILE, C, C)."""
    return torch.eye(channels, dtype=torch.complex64).expand(TILE, TILE, -1, -1).clone()


def apart(power: Tensor) -> Tensor:
    """Of what differs from channel to channel, for each of them, (TILE, TILE).

    power: (TILE, TILE, C, C), C at least 2. That of white noise is its variance.
    """
    channels = power.shape[2]
    share = torch.eye(channels, device=power.device) - 1 / channels
    differing = (share @ power.real @ share).diagonal(dim1=2, dim2=3).sum(-1)
    return differing / (channels - 1)


def of_mean(power: Tensor) -> Tensor:
    """Of what all channels share, for each of them, (TILE, TILE).

    power: (TILE, TILE, C, C). That of white noise is its variance.
    """
    return power.real.sum((2, 3)) / power.shape[2]


def of_side(power: Tensor, side: int) -> Tensor:
    """At the frequencies of a picture with this side, (side, side): those of the nearest ones."""
    nearest = (torch.fft.fftfreq(side) * TILE).round().long() % TILE
    return power[nearest][:, nearest]


def at_frequencies(spectrum: Tensor, axis: int, frequencies: Tensor) -> Tensor:
    """A spectrum, as of fft along an axis, at others, in cycles per pixel: linear between them."""
    side = spectrum.shape[axis]
    place = frequencies * side
    low = place.floor()
    share = (place - low).view(-1, *([1] * (spectrum.dim() - 1 - axis)))
    first, second = (spectrum.index_select(axis, (low.long() + k) % side) for k in (0, 1))
    between: Tensor = first + (second - first) * share
    return between


def shaping_kernel(power: Tensor) -> Tensor:
    """The filter whose output has this power when its input is white, (C, C, T, T).

    power: (T, T, C, C), Hermitian; what is negative in it counts as 0.
    """
    values, vectors = directions_of(power)
    return kernel_of(values.clamp(min=0).sqrt(), vectors)


def directions_of(power: Tensor) -> tuple[Tensor, Tensor]:
    """Of every frequency, mixtures of channels whose noises have nothing in common.

    power: (T, T, C, C), Hermitian.    The power of each, (T, T, C), and they themselves, the
    columns of (T, T, C, C).
    """
    values, vectors = torch.linalg.eigh((power + power.mH) / 2)
    return values, vectors


def kernel_of(responses: Tensor, vectors: Tensor) -> Tensor:
    """The filter, (C, C, T, T), that has these responses in these directions.

    responses, vectors: as of `directions_of`.    For conv2d, which does not turn it round; the
    middle is at T - T // 2 - 1.
    """
    spectrum = (vectors * responses[..., None, :]) @ vectors.mH
    kernel = torch.fft.ifft2(spectrum.permute(2, 3, 0, 1)).real
    turned: Tensor = torch.fft.fftshift(kernel, dim=(2, 3)).flip(2, 3)
    return turned
