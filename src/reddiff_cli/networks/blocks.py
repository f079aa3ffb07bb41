"""Blocks of the UNet, with the parameters of those of diffusers under the same names.

Ho et al. 2020 (arXiv 2006.11239); Dhariwal and Nichol 2021 (arXiv 2105.05233) for resampling in
residual blocks and for scale and shift. What depends on the time step alone is folded into biases
and scales where all rows share it, and nothing is divided by an output scale of 1.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .doubled import DoubledConv, double
from .norms import GroupNorm, group_norm

Sizes = tuple[int, ...]
Kinds = tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """The settings of a `config.json` that shape the network; defaults are those of diffusers."""

    in_channels: int = 3
    out_channels: int = 3
    time_embedding_dim: int | None = None
    freq_shift: float = 0
    flip_sin_to_cos: bool = True
    down_block_types: Kinds = ("DownBlock2D", *["AttnDownBlock2D"] * 3)
    up_block_types: Kinds = (*["AttnUpBlock2D"] * 3, "UpBlock2D")
    block_out_channels: Sizes = (224, 448, 672, 896)
    layers_per_block: int = 2
    downsample_padding: int = 1
    downsample_type: str = "conv"
    upsample_type: str = "conv"
    attention_head_dim: int | None = 8
    norm_num_groups: int = 32
    attn_norm_num_groups: int | None = None
    norm_eps: float = 1e-5
    resnet_time_scale_shift: str = "default"
    add_attention: bool = True

    @property
    def time_width(self) -> int:
        """Channels of the time embedding."""
        return self.time_embedding_dim or 4 * self.block_out_channels[0]

    @property
    def scales(self) -> bool:
        """True if time scales and shifts, False if it is added."""
        return self.resnet_time_scale_shift == "scale_shift"


class Residual(nn.Module):
    """Norm, SiLU, convolution, twice; time comes in between, the input is added at the end.

    resample: halves ("down") or doubles ("up") the resolution before the first convolution.
    """

    def __init__(self, layout: Layout, width: int, out: int, resample: str = "") -> None:
        super().__init__()
        groups, eps = layout.norm_num_groups, layout.norm_eps
        self.norm1 = GroupNorm(groups, width, eps)
        up = resample == "up"
        self.conv1 = DoubledConv(width, out) if up else nn.Conv2d(width, out, 3, padding=1)
        self.time_emb_proj = nn.Linear(layout.time_width, 2 * out if layout.scales else out)
        self.norm2 = GroupNorm(groups, out, eps)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(width, out, 1) if width != out else None
        self.scales = layout.scales
        self.change = {"": None, "down": halve, "up": double}[resample]

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x: (B, C, H, W).    time: (1 or B, C or 2 C), this block's projection."""
        h = quiet_silu(self.norm1(x))
        if self.change is not None:
            x = self.change(x)
            h = h if self.change is double else self.change(h)  # conv1 doubles
        h = quiet_silu(self._scaled(h, time) if self.scales else self._shifted(h, time))
        out: Tensor = self.conv2(h)
        return out.add_(x if self.conv_shortcut is None else self.conv_shortcut(x))

    def _shifted(self, h: Tensor, time: Tensor) -> Tensor:
        """norm2(conv1(h) + time); one time step for all rows is a bias."""
        if len(time) == 1 and self.conv1.bias is not None and self.change is not double:
            h = F.conv2d(h, self.conv1.weight, self.conv1.bias + time[0], padding=1)
        else:
            h = self.conv1(h) + time[:, :, None, None]
        normed: Tensor = self.norm2(h)
        return normed

    def _scaled(self, h: Tensor, time: Tensor) -> Tensor:
        """norm2(conv1(h)) (1 + scale) + shift; for one time step it is in the norm's own scale."""
        scale, shift = (1 + time.chunk(2, 1)[0]), time.chunk(2, 1)[1]
        h, norm = self.conv1(h), self.norm2
        if len(time) == 1:
            weight, bias = norm.weight * scale[0], norm.bias * scale[0] + shift[0]
            return group_norm(h, norm.num_groups, weight, bias, norm.eps)
        normed: Tensor = norm(h) * scale[:, :, None, None] + shift[:, :, None, None]
        return normed


class Attention(nn.Module):
    """Self-attention over all positions, added to its input."""

    def __init__(self, layout: Layout, width: int, groups: int | None) -> None:
        super().__init__()
        head = layout.attention_head_dim or width
        self.heads = width // head
        if not self.heads:
            raise ValueError(f"heads of {head} channels do not fit into {width}")
        inner = self.heads * head
        self.group_norm = GroupNorm(groups, width, layout.norm_eps) if groups else None
        self.to_q = nn.Linear(width, inner)
        self.to_k = nn.Linear(width, inner)
        self.to_v = nn.Linear(width, inner)
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        normed = x if self.group_norm is None else self.group_norm(x)
        rows = normed.permute(0, 2, 3, 1).flatten(1, 2)  # (B, HW, C), then (B, heads, HW, head)
        q, k, v = (
            project(rows).view(*rows.shape[:2], self.heads, -1).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = self.to_out[0](seen)
        return x + out.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)


class Halving(nn.Module):
    """Convolution of stride 2; padding 0 stands for one row and column after the last."""

    def __init__(self, width: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / 2, W / 2)."""
        padded = F.pad(x, (0, 1, 0, 1)) if self.conv.padding == (0, 0) else x
        halved: Tensor = self.conv(padded)
        return halved


class Doubling(nn.Module):
    """Nearest enlargement and a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = DoubledConv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2 H, 2 W)."""
        doubled: Tensor = self.conv(x)
        return doubled


class Times(nn.Module):
    """Sines and cosines of t through two layers (Vaswani et al. 2017, arXiv 1706.03762)."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.linear_1 = nn.Linear(layout.block_out_channels[0], layout.time_width)
        self.linear_2 = nn.Linear(layout.time_width, layout.time_width)

    def forward(self, t: Tensor) -> Tensor:
        """(B,) -> (B, time_width), with the SiLU that every block begins with."""
        width = self.layout.block_out_channels[0]
        half = width // 2
        steps = torch.arange(half, dtype=torch.float32, device=t.device)
        rates = torch.exp(-math.log(10000) * steps / (half - self.layout.freq_shift))
        angles = t[:, None].float() * rates
        waves = [angles.sin(), angles.cos()]
        row = torch.cat(waves[::-1] if self.layout.flip_sin_to_cos else waves, 1)
        row = F.pad(row, (0, width % 2)).to(self.linear_1.weight.dtype)
        return F.silu(self.linear_2(F.silu(self.linear_1(row))))


def quiet_silu(x: Tensor) -> Tensor:
    """SiLU of a tensor that nobody else holds: in place where nothing is recorded."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def halve(x: Tensor) -> Tensor:
    """Mean of 2 x 2 pixels."""
    return F.avg_pool2d(x, 2)
