"""What a GPU does with the networks: types, layouts, batches, graphs, errors of 16 bits.

    python tests/benchmarks/gpu.py [--repeats 10] [--batch 1 2 8 16 32] [--device cuda]

Prints Markdown: milliseconds for each picture of 256x256 and evaluation, and peak memory, of the
bundled prior and of a network as large as google/ddpm-*-256 (113.7 M parameters, random weights);
the relative error of what the bundled prior predicts in 16 bits; milliseconds of the steps that
bring a picture to its measurement. Runs on a CPU as well, without graphs.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch

from reddiff_cli.bench import clocked, scene
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.machine.memory import forget_peak, free_memory, peak_memory
from reddiff_cli.networks.network import Network, build, load_prior
from reddiff_cli.networks.replay import Replay
from reddiff_cli.operators import Blur, CircularBlur, Inpaint
from reddiff_cli.operators.downsample import bicubic
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.signatures import NetworkFunction

SIDE = 256
LEVELS = (2, 26, 258, 674)  # time steps at which errors are measured
LARGE: dict[str, Any] = {
    "_class_name": "UNet2DModel",
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [128, 128, 256, 256, 512, 512],
    "layers_per_block": 2,
    "down_block_types": [*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4],
    "attention_head_dim": None,
    "norm_num_groups": 32,
    "norm_eps": 1e-6,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
}
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def milliseconds(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Of one call, the shortest of three rows of them after warming up."""
    for _ in range(2):
        call()
    rows = [clocked(lambda: [call() for _ in range(repeats)], device) for _ in range(3)]
    return 1000 * min(rows) / repeats


def speed(name: str, network: Network, device: torch.device, asked: argparse.Namespace) -> None:
    """One row for each type, layout and way of running."""
    print(f"\n{name}: ms (MB) at {SIDE}x{SIDE}, of each picture in a batch\n")
    print(f"| type | layout | run | {' | '.join(map(str, asked.batch))} |")
    print("|---" * (3 + len(asked.batch)) + "|")
    for label, dtype in TYPES.items():
        for layout in ("channels_last", "contiguous"):
            kind = getattr(torch, f"{layout}_format" if layout == "contiguous" else layout)
            network.to(device=device, dtype=dtype)
            network.to(memory_format=kind)  # type: ignore[call-overload]
            for run in ("eager", "graph") if device.type == "cuda" else ("eager",):
                # A recording of its own for each batch: it holds the memory of its activations.
                makers = {"eager": lambda: network, "graph": lambda: Replay(network)}
                cells = [cell(makers[run](), n, dtype, device, asked) for n in asked.batch]
                print(f"| {label} | {layout} | {run} | {' | '.join(cells)} |", flush=True)


@torch.inference_mode()
def cell(
    function: NetworkFunction,
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
    asked: argparse.Namespace,
) -> str:
    x = torch.randn(batch, 3, SIDE, SIDE).to(device, dtype)
    t = torch.full((batch,), 100, device=device)
    free_memory(device)
    forget_peak(device)
    repeats = max(3, asked.repeats // batch)
    spent = milliseconds(lambda: function(x, t), repeats, device) / batch
    return f"{spent:.2f} ({peak_memory(device)[0] or 0:.0f})"


@torch.inference_mode()
def errors(network: Network, device: torch.device) -> None:
    """How far 16 bits are from fp32 without TF32, relative to the size of the output."""
    if device.type == "cuda":
        torch.backends.cudnn.conv.fp32_precision = "ieee"
    network.to(device=device, dtype=torch.float32)
    x = scene(SIDE).to(device)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(device)
    z = {t: (0.9 * x + 0.4 * noise, torch.full((1,), t, device=device)) for t in LEVELS}
    exact = {t: network(*pair) for t, pair in z.items()}
    if device.type == "cuda":
        torch.backends.cudnn.conv.fp32_precision = "tf32"
    print(f"\n| relative error at t | {' | '.join(map(str, LEVELS))} |\n|---|---|---|---|---|")
    for label, dtype in TYPES.items():
        network.to(dtype=dtype)
        found = []
        for t, (noisy, level) in z.items():
            out = network(noisy.to(dtype), level).float()
            found.append(float((out - exact[t]).norm() / exact[t].norm()))
        told = "tf32" if (label, device.type) == ("fp32", "cuda") else label
        print(f"| {told} | {' | '.join(f'{value:.1e}' for value in found)} |")


@torch.inference_mode()
def data_steps(device: torch.device, repeats: int) -> None:
    """Closed forms of a mask, of a reduction, and of a blur with a known and an unknown border."""
    x = scene(SIDE).to(device)
    hole = (torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) > 0.5).to(x)
    kernel = make_kernel(parse_kernel("gaussian:10")).to(device)
    side = len(kernel)
    operators = {
        "inpaint": Inpaint(hole),
        "superres x4, bicubic": bicubic(4),
        f"blur {side}x{side}, circular": CircularBlur(kernel, (SIDE, SIDE)),
        f"blur {side}x{side}, unknown border": Blur(kernel),
    }
    print("\n| data step | ms |\n|---|---|")
    for name, operator in operators.items():
        y = operator(x)
        start = operator.start(y)
        spent = milliseconds(
            lambda o=operator, s=start, v=y: o.data_step(s, v, 0.01), repeats, device
        )
        print(f"| {name} | {spent:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 2, 8, 16, 32])
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    device = choose_device(asked.device)
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{named}, torch {torch.__version__}, {choose_dtype('auto', device)} by default")
    torch.manual_seed(0)
    prior = load_prior(find_model("natural").folder)
    for name, network in (("natural", prior.network), ("113.7 M", build(LARGE))):
        speed(name, network.eval().requires_grad_(False), device, asked)
    errors(load_prior(find_model("natural").folder).network, device)
    data_steps(device, asked.repeats)


if __name__ == "__main__":
    main()
