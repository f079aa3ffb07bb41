"""Alignment of pictures that are equal up to what magnitudes of a spectrum cannot tell.

Shift and rotation by 180 degrees: found by cross-correlation (the best of all candidates at once,
by FFT), for all channels jointly.
"""

import torch
from torch import Tensor


def align(x: Tensor, reference: Tensor, *, shifts: bool = True) -> Tensor:
    """x turned, and shifted cyclically unless `shifts` is False, to be nearest to the reference.

    x: (B, C, H, W).    reference: (1 or B, C, H, W).
    Each picture is treated alone. The distance minimised is the sum of squares over all channels.
    """
    if x.shape[1:] != reference.shape[1:]:
        wanted, found = tuple(reference.shape[1:]), tuple(x.shape[1:])
        raise ValueError(f"picture is {found}, reference is {wanted}")
    rows = reference.expand(len(x), -1, -1, -1)
    pairs = zip(x, rows, strict=True)
    return torch.stack([_align_one(one, row, shifts) for one, row in pairs])


def _align_one(x: Tensor, reference: Tensor, shifts: bool) -> Tensor:
    """(C, H, W) each."""
    # Upright first: where both orientations fit equally well, nothing is turned.
    candidates = torch.stack([x, torch.flip(x, (-2, -1))])
    correlation = _correlate(candidates, reference)  # (2, H, W)
    if not shifts:
        correlation = correlation[:, :1, :1]
    height, width = correlation.shape[1:]
    turned, place = divmod(int(correlation.flatten().argmax()), height * width)
    shift = divmod(place, width)
    return torch.roll(candidates[turned], shift, (-2, -1))


def _correlate(candidates: Tensor, reference: Tensor) -> Tensor:
    """Sum over channels of reference . roll(candidate, shift), for every shift; float64."""
    if reference.device.type == "mps":  # which has no doubles
        candidates, reference = candidates.cpu(), reference.cpu()
    wanted: Tensor = torch.fft.rfft2(reference.double())
    spectrum = torch.fft.rfft2(candidates.double()).conj() * wanted
    shape = (reference.shape[-2], reference.shape[-1])
    correlation: Tensor = torch.fft.irfft2(spectrum.sum(1), s=shape)
    return correlation
