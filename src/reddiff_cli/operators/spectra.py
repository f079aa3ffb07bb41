"""Singular value decompositions A = U diag(a) V^T of operators that have a short one.

Each class holds a (`singular_values`), V^T (`to_basis`), V (`from_basis`) and U^T y / a
(`measurement_to_basis`, 0 where a = 0); V is square, real and orthonormal.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Singular values of a blur over the largest: single precision knows no smaller ones.
FLOOR = 1e-6


@dataclass(frozen=True)
class MaskSpectrum:
    """Of y = known * x: pixels are the directions.    known: (1 or B, 1, H, W).

    A value w between 0 and 1 is a pixel observed with noise sigma / sqrt(w): a = sqrt(w).
    """

    known: Tensor

    @property
    def singular_values(self) -> Tensor:
        """sqrt(known)."""
        return self.known.sqrt()

    def to_basis(self, x: Tensor) -> Tensor:
        """x, in memory of its own."""
        return x.clone()

    def from_basis(self, coordinates: Tensor) -> Tensor:
        """The coordinates, in memory of their own."""
        return coordinates.clone()

    def measurement_to_basis(self, y: Tensor) -> Tensor:
        """y where anything is known (soft pixels stand in y unscaled), 0 elsewhere."""
        return torch.where(self.known > 0, y, 0)


@dataclass(frozen=True)
class BoxSpectrum:
    """Of the mean over f x f blocks: in each block its mean, and f^2 - 1 unseen directions.

    x: (B, C, H, W), H and W multiples of f.    coordinates: (B, C, f^2, H/f, W/f).
    """

    factor: int

    @property
    def singular_values(self) -> Tensor:
        """1/f for the mean of a block (its unit vector is constant 1/f), else 0: (f^2, 1, 1)."""
        return _first(torch.ones(self.factor**2), 1 / self.factor)[:, None, None]

    def to_basis(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, f^2, H/f, W/f)."""
        height, width = x.shape[2:]
        if height % self.factor or width % self.factor:
            raise ValueError(f"picture is {width}x{height}, not a multiple of {self.factor}")
        blocks = F.pixel_unshuffle(x, self.factor)
        blocks = blocks.view(*x.shape[:2], -1, *blocks.shape[2:])
        return torch.einsum("ij,bcjhw->bcihw", self._basis(x), blocks)

    def from_basis(self, coordinates: Tensor) -> Tensor:
        """(B, C, f^2, H/f, W/f) -> (B, C, H, W)."""
        blocks = torch.einsum("ij,bcihw->bcjhw", self._basis(coordinates), coordinates)
        return F.pixel_shuffle(blocks.flatten(1, 2), self.factor)

    def measurement_to_basis(self, y: Tensor) -> Tensor:
        """(B, C, H/f, W/f) -> (B, C, f^2, H/f, W/f): f y in the first place."""
        first = _first(y.new_ones(self.factor**2), self.factor)
        return y[:, :, None] * first[:, None, None]

    def _basis(self, like: Tensor) -> Tensor:
        return orthonormal_from(like.new_ones(self.factor**2))


@dataclass(frozen=True)
class ColourSpectrum:
    """Of y = w^T x per pixel, (B, C, H, W) -> (B, 1, H, W).    weights: (C,)."""

    weights: Tensor

    @property
    def singular_values(self) -> Tensor:
        """|w| for the direction of w, else 0: (C, 1, 1)."""
        return _first(self.weights, self._length)[:, None, None]

    def to_basis(self, x: Tensor) -> Tensor:
        """Channels turned so that the first is w^T x / |w|."""
        return torch.einsum("ij,bjhw->bihw", orthonormal_from(self.weights), x)

    def from_basis(self, coordinates: Tensor) -> Tensor:
        """The turn undone."""
        return torch.einsum("ij,bihw->bjhw", orthonormal_from(self.weights), coordinates)

    def measurement_to_basis(self, y: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, C, H, W): y / |w| in the first channel."""
        return y * _first(self.weights, 1 / self._length)[:, None, None]

    @property
    def _length(self) -> float:
        return float(torch.linalg.vector_norm(self.weights))


@dataclass(frozen=True)
class CircularSpectrum:
    """Of a circular convolution, F^-1 K F.    kernel_fft: K = fft2 of a real kernel, (H, W).

    V is the Hartley transform Re F - Im F, which is real and its own inverse: |K| is even, so it
    is diagonal there too. U = P V, with P = F^-1 (K / |K|) F, the phases, real as K is Hermitian.
    Singular values below FLOOR times the largest count as 0. What a file was rounded to is a
    matter of sigma_y.
    """

    kernel_fft: Tensor

    @property
    def singular_values(self) -> Tensor:
        """|K|, (H, W)."""
        size = self.kernel_fft.abs()
        return torch.where(size < FLOOR * size.max(), 0, size)

    def to_basis(self, x: Tensor) -> Tensor:
        """Hartley transform of (B, C, H, W), orthonormal."""
        return _hartley(torch.fft.fft2(x, norm="ortho"))

    def from_basis(self, coordinates: Tensor) -> Tensor:
        """The same transform."""
        return self.to_basis(coordinates)

    def measurement_to_basis(self, y: Tensor) -> Tensor:
        """V^T P^T y / |K|."""
        a = self.singular_values
        inverse = (a > 0) * self.kernel_fft.conj() / torch.where(a > 0, a, 1) ** 2
        return _hartley(inverse * torch.fft.fft2(y, norm="ortho"))


def _hartley(spectrum: Tensor) -> Tensor:
    difference: Tensor = spectrum.real - spectrum.imag
    return difference


def orthonormal_from(vector: Tensor) -> Tensor:
    """Orthonormal square matrix with vector / |vector| as its first row (a Householder mirror)."""
    unit = vector / torch.linalg.vector_norm(vector)
    eye = torch.eye(len(unit), dtype=unit.dtype, device=unit.device)
    # The mirror that takes e_1 to unit or -unit, whichever is farther: no cancellation.
    sign = torch.where(unit[0] > 0, -1, 1)
    normal = eye[0] - sign * unit
    mirror: Tensor = eye - 2 * torch.outer(normal, normal) / normal.dot(normal)
    return mirror * sign


def _first(like: Tensor, value: float) -> Tensor:
    """(value, 0, ..., 0), in length, type and device like a vector."""
    vector = torch.zeros_like(like)
    vector[0] = value
    return vector
