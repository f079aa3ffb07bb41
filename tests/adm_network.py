"""An ADM network (Dhariwal and Nichol 2021, arXiv 2105.05233), written from the paper's formulas.

Its layers carry the names of published weight files, so that its state dict has their form. Used
only as the other side of conversion tests; it shares no code with the package.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def time_features(t: Tensor, width: int) -> Tensor:
    """[cos(t w_i), sin(t w_i)], w_i = 10000^(-i / (width / 2)); t: (B,) -> (B, width)."""
    half = width // 2
    w = torch.exp(-math.log(10000) * torch.arange(half) / half).to(t.device)
    angles = t[:, None].float() * w[None]
    return torch.cat([angles.cos(), angles.sin()], 1)


class Residual(nn.Module):
    """h = conv(silu(norm(x))); out = skip(x) + conv(silu(norm(h) (1 + scale) + shift))."""

    def __init__(self, wide_in: int, wide_out: int, embedding: int, change: str = "") -> None:
        super().__init__()
        self.change = change
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, wide_in), nn.SiLU(), nn.Conv2d(wide_in, wide_out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * wide_out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, wide_out),
            nn.SiLU(),
            nn.Identity(),  # the place of dropout
            nn.Conv2d(wide_out, wide_out, 3, padding=1),
        )
        self.skip_connection = (
            nn.Identity() if wide_in == wide_out else nn.Conv2d(wide_in, wide_out, 1)
        )

    def resample(self, x: Tensor) -> Tensor:
        if self.change == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2.0) if self.change == "up" else x

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        norm, silu, conv = self.in_layers
        h = conv(self.resample(silu(norm(x))))
        scale, shift = self.emb_layers(embedding)[:, :, None, None].chunk(2, 1)
        h = self.out_layers[0](h) * (1 + scale) + shift
        return self.skip_connection(self.resample(x)) + self.out_layers[1:](h)


class Attention(nn.Module):
    """Rows of qkv in the order (head, {q, k, v}, channel): the legacy order of ADM."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.heads = width // head
        self.norm = nn.GroupNorm(32, width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        b, c, h, w = x.shape
        flat = x.reshape(b, c, h * w)
        rows = self.qkv(self.norm(flat)).view(b, self.heads, 3, c // self.heads, h * w)
        q, k, v = rows.unbind(2)
        scores = torch.einsum("bhci,bhcj->bhij", q, k) / math.sqrt(c // self.heads)
        mixed = torch.einsum("bhij,bhcj->bhci", scores.softmax(-1), v).reshape(b, c, h * w)
        return (flat + self.proj_out(mixed)).view(b, c, h, w)


class Block(nn.Sequential):
    """Layers of one numbered block; those that need it are given the time embedding."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for layer in self:
            x = layer(x) if isinstance(layer, nn.Conv2d) else layer(x, embedding)
        return x


class Adm(nn.Module):
    """The U-Net; attention: levels that attend, head: channels of one head."""

    def __init__(self, channels, multipliers, blocks, attention, head) -> None:
        super().__init__()
        self.channels = channels
        embedding = 4 * channels
        self.time_embed = nn.Sequential(
            nn.Linear(channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        width = channels
        widths = [width]
        self.input_blocks = nn.ModuleList([Block(nn.Conv2d(3, width, 3, padding=1))])
        last = len(multipliers) - 1
        for level, factor in enumerate(multipliers):
            for _ in range(blocks):
                layers = [Residual(width, channels * factor, embedding)]
                width = channels * factor
                layers += [Attention(width, head)] if level in attention else []
                self.input_blocks.append(Block(*layers))
                widths.append(width)
            if level < last:
                self.input_blocks.append(Block(Residual(width, width, embedding, "down")))
                widths.append(width)
        self.middle_block = Block(
            Residual(width, width, embedding),
            Attention(width, head),
            Residual(width, width, embedding),
        )
        self.output_blocks = nn.ModuleList()
        for level in range(last, -1, -1):
            for number in range(blocks + 1):
                target = channels * multipliers[level]
                layers = [Residual(width + widths.pop(), target, embedding)]
                width = target
                layers += [Attention(width, head)] if level in attention else []
                if level and number == blocks:
                    layers.append(Residual(width, width, embedding, "up"))
                self.output_blocks.append(Block(*layers))
        self.out = nn.Sequential(
            nn.GroupNorm(32, width), nn.SiLU(), nn.Conv2d(width, 6, 3, padding=1)
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedding = self.time_embed(time_features(t, self.channels))
        seen = []
        for block in self.input_blocks:
            x = block(x, embedding)
            seen.append(x)
        x = self.middle_block(x, embedding)
        for block in self.output_blocks:
            x = block(torch.cat([x, seen.pop()], 1), embedding)
        return self.out(x)


def random_adm(family, seed=0) -> Adm:
    """Random weights, also where training starts at zero or one, for a Family of the package."""
    torch.manual_seed(seed)
    network = Adm(
        family.channels, family.multipliers, family.blocks, family.attention, family.head
    )
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()
