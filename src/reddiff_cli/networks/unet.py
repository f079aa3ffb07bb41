"""The UNet of DDPM and ADM, with the parameters of diffusers' UNet2DModel under the same names.

Ho et al. 2020 (arXiv 2006.11239); Dhariwal and Nichol 2021 (arXiv 2105.05233) for
attention and resampling. Importing diffusers takes longer than restoring a small picture, so it is
left to the few configurations that this file does not express. What depends on the time step alone
is computed once for each.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..errors import ModelMissing
from .blocks import Attention, Doubling, Halving, Kinds, Layout, Residual, Sizes, Times, quiet_silu
from .norms import GroupNorm

DOWN = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")
UP = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")
# Settings of which only these values are expressed; None is what old files write for a default.
ONLY: dict[str, tuple[object, ...]] = {
    "center_input_sample": (False, None),
    "time_embedding_type": ("positional",),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1, None),
    "downsample_type": ("conv", "resnet"),
    "upsample_type": ("conv", "resnet"),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "act_fn": ("silu", "swish"),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
}
# Read by nobody here: they say nothing about what a trained network computes.
IDLE = frozenset(("sample_size", "dropout", "num_train_timesteps"))
# Keys of `config.json` that are not diffusers': network.py reads them.
OURS = frozenset(("pixel_unshuffle", "highest_timestep", "zero_mean"))
# Time steps whose projections are kept: more than our solver visits; longer chains begin anew.
KEPT = 256


class UNetLevel(nn.Module):
    """Residual blocks of one resolution, each with attention if any has, then a resampler."""

    def __init__(
        self,
        residuals: list[Residual],
        attentions: list[Attention],
        name: str,
        resampler: nn.Module | None,
    ) -> None:
        super().__init__()
        # In the order of diffusers, which the state of an optimiser refers to.
        self.attentions = nn.ModuleList(attentions)
        self.resnets = nn.ModuleList(residuals)
        self._end = name
        setattr(self, name, nn.ModuleList([] if resampler is None else [resampler]))

    def parts(self) -> Iterator[tuple[nn.Module, nn.Module | None]]:
        """Residual blocks in their order, each with its attention."""
        for index, residual in enumerate(self.resnets):
            yield residual, self.attentions[index] if len(self.attentions) else None

    def resampler(self) -> nn.Module | None:
        """What changes the resolution at the end, if anything does."""
        found = getattr(self, self._end)
        return found[0] if len(found) else None


class Middle(nn.Module):
    """Two residual blocks at the lowest resolution, attention between them."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        width = layout.block_out_channels[-1]
        groups = layout.attn_norm_num_groups
        if groups is None and not layout.scales:
            groups = layout.norm_num_groups
        attentions = [Attention(layout, width, groups)] if layout.add_attention else []
        self.attentions = nn.ModuleList(attentions)
        self.resnets = nn.ModuleList([Residual(layout, width, width) for _ in range(2)])


class UNet2D(nn.Module):
    """The whole network: (B, C, H, W) and t (B,) -> (B, C', H, W)."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        widths = layout.block_out_channels
        self.conv_in = nn.Conv2d(layout.in_channels, widths[0], 3, padding=1)
        self.time_embedding = Times(layout)
        self.down_blocks = nn.ModuleList(_down_levels(layout))
        self.up_blocks = nn.ModuleList(_up_levels(layout))
        self.mid_block = Middle(layout)
        self.conv_norm_out = GroupNorm(layout.norm_num_groups, widths[0], layout.norm_eps)
        self.conv_out = nn.Conv2d(widths[0], layout.out_channels, 3, padding=1)
        self._kept: dict[int, list[Tensor]] = {}

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The network's output; differentiable in x, and in the weights that ask for it."""
        times = iter(self._projections(t))
        h = self.conv_in(x)
        skips = [h]
        for level in _levels(self.down_blocks):
            for residual, attention in level.parts():
                h = residual(h, next(times))
                h = h if attention is None else attention(h)
                skips.append(h)
            resampler = level.resampler()
            if resampler is not None:
                h = _resample(resampler, h, times)
                skips.append(h)
        h = self.mid_block.resnets[0](h, next(times))
        for attention in self.mid_block.attentions:
            h = attention(h)
        h = self.mid_block.resnets[1](h, next(times))
        for level in _levels(self.up_blocks):
            for residual, attention in level.parts():
                h = residual(torch.cat([h, skips.pop()], 1), next(times))
                h = h if attention is None else attention(h)
            resampler = level.resampler()
            if resampler is not None:
                h = _resample(resampler, h, times)
        out: Tensor = self.conv_out(quiet_silu(self.conv_norm_out(h)))
        return out

    def _projections(self, t: Tensor) -> list[Tensor]:
        """What time tells every residual block, in the order in which they are used.

        One row for all where a single t is seen; fixed weights on a CPU do this once for each t.
        """
        if t.device.type != "cpu":  # looking at t would wait for the device
            return self._project(t)
        distinct = set(t.tolist())
        if len(distinct) > 1:
            return self._project(t)
        if self.conv_in.weight.requires_grad:
            return self._project(t[:1])
        (step,) = distinct
        if step not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[step] = self._project(t[:1])
        return self._kept[step]

    def _project(self, t: Tensor) -> list[Tensor]:
        told = self.time_embedding(t)
        return [residual.time_emb_proj(told) for residual in self._residuals()]

    def _residuals(self) -> Iterator[Residual]:
        """Residual blocks in the order in which `forward` comes to them."""
        for level in (*self.down_blocks, self.mid_block, *self.up_blocks):
            yield from level.resnets
            last = level.resampler() if isinstance(level, UNetLevel) else None
            if isinstance(last, Residual):
                yield last

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Weights have moved or changed their type: what was computed from them is void."""
        self._kept.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def load_state_dict(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """As ever; what was computed from the old weights is void."""
        self._kept.clear()
        return super().load_state_dict(*args, **options)


def _levels(blocks: nn.ModuleList) -> Iterator[UNetLevel]:
    return (block for block in blocks if isinstance(block, UNetLevel))


def _resample(layer: nn.Module, h: Tensor, times: Iterator[Tensor]) -> Tensor:
    changed: Tensor = layer(h, next(times)) if isinstance(layer, Residual) else layer(h)
    return changed


def _down_levels(layout: Layout) -> Iterator[UNetLevel]:
    width = layout.block_out_channels[0]
    for index, kind in enumerate(layout.down_block_types):
        out = layout.block_out_channels[index]
        widths = [width, *[out] * (layout.layers_per_block - 1)]
        resampler: nn.Module | None = None
        if index < len(layout.block_out_channels) - 1:
            if _in_residual(kind, layout.downsample_type):
                resampler = Residual(layout, out, out, "down")
            else:
                resampler = Halving(out, layout.downsample_padding)
        yield _level(layout, kind, widths, out, "downsamplers", resampler)
        width = out


def _up_levels(layout: Layout) -> Iterator[UNetLevel]:
    """Each residual block also sees one output of the way down, the latest first."""
    widths = layout.block_out_channels[::-1]
    before = widths[0]
    for index, kind in enumerate(layout.up_block_types):
        out, below = widths[index], widths[min(index + 1, len(widths) - 1)]
        layers = layout.layers_per_block
        seen = [before, *[out] * layers]
        skipped = [*[out] * layers, below]
        resampler: nn.Module | None = None
        if index < len(widths) - 1:
            if _in_residual(kind, layout.upsample_type):
                resampler = Residual(layout, out, out, "up")
            else:
                resampler = Doubling(out)
        joint = [a + b for a, b in zip(seen, skipped, strict=True)]
        yield _level(layout, kind, joint, out, "upsamplers", resampler)
        before = out


def _in_residual(kind: str, resampling: str) -> bool:
    """Whether a level changes its resolution in a residual block; only levels with attention ask
    the configuration."""
    return kind.startswith("Resnet") or (kind.startswith("Attn") and resampling == "resnet")


def _level(
    layout: Layout, kind: str, widths: list[int], out: int, name: str, resampler: nn.Module | None
) -> UNetLevel:
    residuals = [Residual(layout, width, out) for width in widths]
    attends = kind.startswith("Attn")
    attentions = [Attention(layout, out, layout.norm_num_groups) for _ in widths if attends]
    return UNetLevel(residuals, attentions, name, resampler)


def unexpressed(config: Mapping[str, Any]) -> str:
    """The first setting that `UNet2D` does not express, or nothing."""
    known = {field.name for field in fields(Layout)} | ONLY.keys() | IDLE
    for key, value in config.items():
        if key not in known or (key in ONLY and value not in ONLY[key]):
            return f"{key} = {value}"
    levels = len(config.get("block_out_channels", Layout.block_out_channels))
    for key, kinds in (("down_block_types", DOWN), ("up_block_types", UP)):
        named = config.get(key, getattr(Layout, key))
        if len(named) != levels or not set(named) <= set(kinds):
            return f"{key} = {named}"
    return ""


def mistyped(config: Mapping[str, Any]) -> str:
    """The first setting that is of another kind than in `Layout`, or nothing.

    Some are only looked at when pictures come.
    """
    stored: dict[Any, Any] = {Sizes: list | tuple, Kinds: list | tuple, float: float | int}
    for field in fields(Layout):
        value = config.get(field.name, field.default)
        if not isinstance(value, stored.get(field.type, field.type)):
            return f"{field.name} = {value!r}"
    return ""


def make_unet(config: Mapping[str, Any]) -> nn.Module:
    """Network with random weights for a `config.json`; ModelMissing if it cannot be built."""
    known = {
        key: value for key, value in config.items() if not key.startswith("_") and key not in OURS
    }
    try:
        if not unexpressed(known):
            names = {field.name for field in fields(Layout)}
            return UNet2D(Layout(**{key: known[key] for key in known if key in names}))
        from diffusers import UNet2DModel

        stock: nn.Module = UNet2DModel(**known)
        return stock
    except (TypeError, ValueError, UnboundLocalError) as error:
        raise ModelMissing(f"config.json: diffusers cannot build it ({error})") from error
