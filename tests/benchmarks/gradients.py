"""What a gradient through the network costs: parts of it, and all of it against an evaluation.

    python tests/benchmarks/gradients.py [--model natural] [--side 256] [--repeats 3]

DPS and PiGDM take the gradient of a measurement through the network, training that of its weights.
Prints milliseconds of group normalisation there and back, ours and PyTorch's, in the layout and
the types of a CPU, and of an evaluation of the prior alone and recorded with its way back.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from reddiff_cli.bench import in_turns
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import load_model
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.networks.norms import group_norm

SHAPES = ((64, 256), (128, 128), (256, 64))  # channels and side
GROUPS, EPS = 32, 1e-5
Norm = Callable[[Tensor, int, Tensor, Tensor, float], Tensor]


def there_and_back(norm: Norm, x: Tensor, gradient: Tensor) -> Callable[[], object]:
    """A call that normalises x and takes the gradient back."""
    weight, bias = (torch.ones(x.shape[1], dtype=x.dtype) for _ in range(2))

    def call() -> object:
        leaf = x.detach().requires_grad_(True)
        return torch.autograd.grad(norm(leaf, GROUPS, weight, bias, EPS), leaf, gradient)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="natural")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    for dtype in (torch.bfloat16, torch.float32):
        for channels, side in SHAPES:
            x, gradient = (
                torch.randn(1, channels, side, side, dtype=dtype).contiguous(
                    memory_format=torch.channels_last
                )
                for _ in range(2)
            )
            calls = {
                "ours": there_and_back(group_norm, x, gradient),
                "PyTorch": there_and_back(F.group_norm, x, gradient),
            }
            print(f"{dtype}, {channels} of {side}x{side}: {shown(calls, asked.repeats)}")
    device = choose_device("cpu")
    denoiser = load_model(find_model(asked.model), device, choose_dtype("auto", device))
    z = torch.randn(1, denoiser.channels, asked.side, asked.side)
    t = torch.full((1,), len(denoiser.schedule.s) // 4)

    def recorded() -> object:
        leaf = z.detach().requires_grad_(True)
        return torch.autograd.grad(denoiser.recorded(leaf, t).sum(), leaf)

    calls = {"evaluation": lambda: denoiser(z, t), "with its gradient": recorded}
    print(f"{asked.model}, {asked.side}x{asked.side}: {shown(calls, asked.repeats)}")


def shown(calls: dict[str, Callable[[], object]], repeats: int) -> str:
    """Milliseconds of the quickest of each, which take turns, and the ratio."""
    for call in calls.values():
        call()
    best = {
        name: min(all_) * 1e3
        for name, all_ in in_turns(calls, repeats, torch.device("cpu")).items()
    }
    first, second = best.values()
    cells = ", ".join(f"{name} {value:.1f} ms" for name, value in best.items())
    return f"{cells} (x {second / first:.2f})"


if __name__ == "__main__":
    main()
