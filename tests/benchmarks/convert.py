"""Conversion of a full-size guided-diffusion file: seconds, memory, and whether it is exact.

    python tests/benchmarks/convert.py [--family imagenet256] [--legacy] [--folder /tmp]

Writes a file of random weights (2.2 GB for imagenet256), converts it in a process of its own whose
peak memory is printed (pages mapped from the file count as memory), compares the output on one
64x64 picture with that of an ADM network written from its formulas, and removes everything.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from adm_network import Adm
from reddiff_cli.networks.convert import FAMILIES
from reddiff_cli.networks.network import load_prior

CONVERT = """
import resource, sys, time
from pathlib import Path
from reddiff_cli.networks.convert import convert_file
began = time.monotonic()
convert_file(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
sys.stdout.write(f"converted in {time.monotonic() - began:.1f} s, peak {peak:.2f} GiB\\n")
"""


def random_network(name: str) -> Adm:
    """Small random weights, quickly: every layer is told apart by its own numbers."""
    family = FAMILIES[name]
    shape = (family.channels, family.multipliers, family.blocks, family.attention, family.head)
    with torch.device("meta"):
        network = Adm(*shape)
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        for key, value in module.named_parameters(recurse=False):
            mean = 1.0 if isinstance(module, nn.GroupNorm) and key == "weight" else 0.0
            scale = 0.1 if value.ndim == 1 else value[0].numel() ** -0.5
            nn.init.normal_(value, mean, scale, generator)
    return network.eval().requires_grad_(False)


def main() -> None:
    """Parse, write, convert, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--family", default="imagenet256", choices=FAMILIES)
    parser.add_argument("--legacy", action="store_true", help="the format before torch 1.6")
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        source, folder = Path(place) / "adm.pt", Path(place) / "prior"
        network = random_network(options.family)
        state = network.state_dict()
        torch.save(state, source, _use_new_zipfile_serialization=not options.legacy)
        x, t = torch.randn(1, 3, 64, 64), torch.tensor([300])
        expected = network(x, t)[:, :3]
        del network, state
        sys.stdout.write(f"{options.family}: {source.stat().st_size / 1e6:.0f} MB\n")
        arguments = [str(source), str(folder), options.family]
        subprocess.run([sys.executable, "-c", CONVERT, *arguments], check=True)
        began = time.monotonic()
        prior = load_prior(folder)
        sys.stdout.write(f"loaded in {time.monotonic() - began:.1f} s\n")
        difference = float((prior.network(x, t) - expected).abs().max())
        spread = float(expected.std())
        sys.stdout.write(f"largest difference {difference:.1e}, output std {spread:.2f}\n")
        weights = sum(path.stat().st_size for path in folder.iterdir())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        sys.stdout.write(f"folder {weights / 1e6:.0f} MB; this process {peak:.1f} GiB\n")


if __name__ == "__main__":
    main()
