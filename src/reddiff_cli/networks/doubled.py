"""A 3 x 3 convolution of a picture enlarged by two, without the enlarged picture.

Each output pixel meets 2 x 2 pixels of the small picture, some of them through two or four
weights. With those added up beforehand this is a transposed convolution of 4 x 4 weights and
stride 2: 16 multiplications where the enlarged picture takes 36, which is never written and read.
"""

from functools import cache
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@cache
def gains(dtype: torch.dtype) -> bool:
    """Whether this CPU's transposed convolutions are oneDNN's: others may be slower by far."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


class DoubledConv(nn.Conv2d):
    """`Conv2d(width, out, 3, padding=1)` of every pixel four times, with the same parameters."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(width, out, 3, padding=1)
        self._kernel: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out, 2 H, 2 W)."""
        if not self._folds(x):
            self._kernel = None  # of weights that may be about to change
            return super().forward(double(x))
        kernel = self._kernel  # other threads may have none, or make the same
        if kernel is None:
            kernel = self._kernel = folded(self.weight)
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)

    def _folds(self, x: Tensor) -> bool:
        """Whether weights are fixed, and this machine is known to gain."""
        return (
            not self.weight.requires_grad
            and x.device.type == "cpu"
            and gains(x.dtype)
            and x.is_contiguous(memory_format=torch.channels_last)
        )

    def _apply(self, *args: Any, **options: Any) -> Self:  # noqa: ANN401
        """Weights have moved or changed their type: what was computed from them is void."""
        self._kernel = None
        super()._apply(*args, **options)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """As ever; what was computed from the old weights is void."""
        self._kernel = None
        super()._load_from_state_dict(*args, **options)


def double(x: Tensor) -> Tensor:
    """Every pixel four times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def folded(weight: Tensor) -> Tensor:
    """Weights (out, C, 3, 3) on the enlarged picture, (C, out, 4, 4) of a transposed convolution.

    Row k of the enlarged picture takes rows k - 1, k, k + 1 of it, which are rows (k - 1) // 2,
    k // 2 and (k + 1) // 2 of the small one: the full convolution with a box of 2 x 2.
    """
    out, width = weight.shape[:2]
    # Not as a tensor of inference mode, through which nobody could go back to x.
    with torch.inference_mode(False), torch.no_grad():
        each = weight.float().flip(2, 3).reshape(-1, 1, 3, 3)
        wide = F.conv2d(each, torch.ones(1, 1, 2, 2), padding=1).view(out, width, 4, 4)
        kernel = wide.transpose(0, 1).to(weight.dtype)
        return kernel.contiguous(memory_format=torch.channels_last)
