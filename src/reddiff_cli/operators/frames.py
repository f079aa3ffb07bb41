"""Convolution seen through a frame: argmin_x |M C x - y|^2 + r |x - d|^2.

C is a circular convolution on a torus that holds the canvas, M keeps the positions that were
measured. Without M the solution is a division of frequencies; with it, that division is the
preconditioner of conjugate gradients (circulant preconditioners: Strang 1986, Chan 1988). All but
M stays in frequencies, so an iteration costs two FFTs, and a few do what dozens did without.
"""

import math

import torch
from torch import Tensor

# Conjugate gradients need as many iterations as the square root of the condition 1 / r says.
# Restorations of 3 training photographs, 128x128, in dB, with a pace of 0.1 / 0.2 / 0.4 (20
# evaluations; 3, 6, 10 or 30 iterations whatever r is: 29.0, 31.8, 33.8, 35.8 in the first row):
#   motion:15,30  noise 0.002   34.7 / 35.8 / 35.8      disk:4  36.2 / 36.3 / 36.3
#                       0.01    31.0 / 31.5 / 31.5              31.7 / 31.8 / 31.8
#                       0.03    27.4 / 27.5 / 27.6              28.1 / 28.1 / 28.1
#   motion:31,10  noise 0.005   26.5 / 27.8 / 28.2
# What MANY cannot solve must not be tried: the preconditioner is the inverse of a problem without
# a frame, and wants amplitudes of 1 / sqrt(r) beside the frame, which conjugate gradients take
# back late. So r is raised to what MANY can solve; later steps go on from there. 4 such
# photographs, no noise, not rounded, 50 evaluations, r at least 0 / 1e-6 / that / 4 times that:
#   motion:15,30  11.4 / 32.5 / 36.9 / 36.8      motion:31,10  7.7 / - / 32.3 / 31.6
#   disk:4        17.0 / 40.4 / 41.3 / 40.4
PACE, FEW, MANY = 0.2, 3, 40
# From so many positions on, CPUs take one channel after the other, and memory holds the spectra
# of one. That takes 0.85 to 0.95 of the time at 512x512 to 2000x1504, and longer below.
LARGE = 2**18
# Borders matter more where the kernel is large for the picture: from an eighth of it on.
EIGHTH = 1 / 8


def effort(kernel: tuple[int, int], picture: tuple[int, int], r: float) -> tuple[int, float]:
    """Iterations after which more change the restoration by less than 0.1 dB, and r for them.

    kernel, picture: (height, width).    r: 0 and above; returned as it is, or as the least that
    conjugate gradients can solve here.
    """
    pace = PACE * max(1.0, max(kernel) / min(picture) / EIGHTH)
    r = max(r, (pace / MANY) ** 2)
    return min(MANY, max(FEW, math.ceil(pace / math.sqrt(r)))), r


def solve_in_frame(
    transfer: Tensor,
    size: tuple[int, int],
    frame: tuple[slice, slice],
    d: Tensor,
    y: Tensor,
    r: float,
    iterations: int,
) -> Tensor:
    """argmin_x |M C x - y|^2 + r |x - d|^2 for each picture of a batch.

    transfer: rfft2 of the kernel on the torus, (H', W' // 2 + 1).    size: (H', W').
    frame: rows and columns of the torus that y covers.    d: (B, C, H, W), H <= H', W <= W'.
    The count of iterations is fixed, so no device is asked how far it is.
    """
    if d.device.type == "cpu" and math.prod(size) >= LARGE and d.shape[:2] != (1, 1):
        x, y = torch.empty_like(d), y.expand(*d.shape[:2], -1, -1)
        for row in range(d.shape[0]):
            for channel in range(d.shape[1]):
                one = slice(row, row + 1), slice(channel, channel + 1)
                x[one] = solve_in_frame(transfer, size, frame, d[one], y[one], r, iterations)
        return x
    turned = transfer.conj().resolve_conj()
    # Spectra as pairs of reals: a real factor would be made complex first.
    inverse = (1 / (transfer.abs().square() + r))[..., None]
    kept = d.new_zeros(*d.shape[:2], *size)

    def seen(spectrum: Tensor, against: Tensor | None = None) -> Tensor:
        """C^T M C x, or C^T M (against - C x), from the spectrum of x, as pairs."""
        blurred = torch.fft.irfft2(torch.view_as_complex(spectrum) * transfer, size)
        blurred = blurred[:, :, *frame]
        kept[:, :, *frame] = blurred if against is None else against - blurred
        return torch.view_as_real(torch.fft.rfft2(kept).mul_(turned))

    tiny = torch.finfo(d.dtype).tiny
    residual = seen(torch.view_as_real(torch.fft.rfft2(d, size)), y)
    direction = residual * inverse
    power = _dot(residual, direction, size)
    change = torch.zeros_like(residual)
    for _ in range(iterations):
        image = seen(direction).add_(direction, alpha=r)
        step = power / _dot(direction, image, size).clamp(min=tiny)
        change.addcmul_(step, direction)
        residual.addcmul_(-step, image)
        towards = residual * inverse
        last, power = power, _dot(residual, towards, size)
        direction = towards.addcmul_(power / last.clamp(min=tiny), direction)
    height, width = d.shape[2:]
    moved: Tensor = torch.fft.irfft2(torch.view_as_complex(change), size)
    return d + moved[:, :, :height, :width]


def _dot(a: Tensor, b: Tensor, size: tuple[int, int]) -> Tensor:
    """Inner product of each row of two half spectra, as that of the whole ones; (B, 1, 1, 1, 1).

    All columns stand twice in the whole spectrum but the first, and the last of an even width.
    """
    total: Tensor = 2 * torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    for column in (0, -1) if size[1] % 2 == 0 else (0,):
        total = total - (a[:, :, :, column] * b[:, :, :, column]).flatten(1).sum(1)
    return total.view(-1, 1, 1, 1, 1)
