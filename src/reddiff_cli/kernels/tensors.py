"""Blur kernels as tensors: K >= 0, sum K = 1, y[p] = sum_q K[q] x[p - q].

The origin of a kernel (kh, kw) is (kh // 2, kw // 2) always (shapes.py).
"""

from pathlib import Path

import torch
from torch import Tensor

from ..options.kernelspec import KernelSpec
from .files import Kernels
from .shapes import draw_kernel


def make_kernel(spec: KernelSpec, kernels: Kernels | None = None) -> Tensor:
    """The kernel (kh, kw), float32, >= 0, sum 1, without zero borders.

    ValueError for `auto`, which has to be estimated first; UsageError as of `load_kernel`.
    kernels: those that were read before.
    """
    if spec.family == "file" and spec.path is not None:
        return load_kernel(spec.path, kernels)
    return torch.from_numpy(draw_kernel(spec)).float()


def load_kernel(path: Path, kernels: Kernels | None = None) -> Tensor:
    """A kernel file, (kh, kw) float32, normalised to sum 1, zero borders trimmed.

    .npy: a real array (kh, kw) without negative values. Any other file: a picture, mean of its
    colours, white = weight, transparent = none. Even sizes and off-centre weights are kept as they
    are. UsageError names the file and what is wrong.
    """
    return torch.from_numpy((kernels or Kernels()).of_file(path)).float()
