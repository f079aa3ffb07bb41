"""What the loop costs beyond the network: our default solver against the bare network.

    python tests/benchmarks/overhead.py [--size 256] [--repeats 12] [--model natural]
        [--task superres ...] [--threads N] [--dtype auto]

Steps of the solver and bare calls of the network (same batch, type and layout) take turns in one
process, so that other load on the machine meets both alike. Prints milliseconds per evaluation of
both, and how much more the loop takes: by the middle one of all turns, and by the shortest.
"""

import argparse
import statistics

import torch

from reddiff_cli.bench import SOLVED, measure_loop
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import load_model
from reddiff_cli.machine.computing import choose_device, choose_dtype


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--task", nargs="*", default=list(SOLVED))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--model", default="natural")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    card, device = find_model(asked.model), choose_device(asked.device)
    denoiser = load_model(card, device, choose_dtype(asked.dtype, device))
    print(f"{card.name} on {device}, {denoiser.dtype}, {asked.size}x{asked.size}")
    print(f"{'task':10}{'network ms':>12}{'loop ms':>10}{'median':>9}{'shortest':>10}")
    for task in asked.task:
        found = measure_loop(task, denoiser, card, asked.size, asked.repeats)
        sides = (found.network, found.loop)
        middle = [1000 * statistics.median(side) / found.rows for side in sides]
        shortest = 100 * (min(found.loop) / min(found.network) - 1)
        print(
            f"{task:10}{middle[0]:12.1f}{middle[1]:10.1f}{found.overhead:8.1f}%{shortest:9.1f}%",
            flush=True,
        )


if __name__ == "__main__":
    main()
