"""Which recipe trains the best small prior in a short time: equal minutes from random weights.

    python tests/benchmarks/recipes.py TRAINING VALIDATION [--minutes 5] [--recipe NAME ...]
        [--crops 17]

TRAINING, VALIDATION: folders of photographs. Trains a prior by each recipe, which says what it
changes of USUAL (all else being as in `reddiff train`), and prints steps, parameters (millions),
PSNR in dB of the averaged weights at noise 15 / 25 / 50 (of 255), colour error at s = 0.3 / 1 / 3
(of 255), and milliseconds of one evaluation at 256x256. Muon (Jordan et al. 2024) and SOAP (Vyas
et al. 2024, arXiv 2409.11321) are those of the package pytorch_optimizer, which must be installed
for them; biases and norms, which are no matrices, go with AdamW under Muon.
"""

import argparse
import importlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reddiff_cli.denoisers.denoiser import Denoiser
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.networks.network import build
from reddiff_cli.training.optimisers import make_optimiser
from reddiff_cli.training.options import TrainOptions
from reddiff_cli.training.photographs import centre_crops, read_photographs
from reddiff_cli.training.train import train_step
from reddiff_cli.training.trainer import Trainer, new_trainer
from reddiff_cli.training.validation import colour_error, denoising_psnr

REPEATS = 5
Change = Callable[[Trainer], None]


def soap(trainer: Trainer) -> None:
    package = importlib.import_module("pytorch_optimizer")
    trainer.optimiser = package.SOAP(
        trainer.network.parameters(), lr=trainer.options.rate, max_precondition_dim=1024
    )


def attention(trainer: Trainer) -> None:
    """At an eighth of the resolution only (8x8 of the crops), in front of the bottleneck."""
    config = dict(trainer.network.config)
    levels = len(config["block_out_channels"])
    plain = levels - 2
    config["down_block_types"] = ["DownBlock2D"] * plain + ["AttnDownBlock2D", "DownBlock2D"]
    config["up_block_types"] = ["UpBlock2D", "AttnUpBlock2D"] + ["UpBlock2D"] * plain
    config["attention_head_dim"] = 32
    replace(trainer, build(config))


def replace(trainer: Trainer, network: nn.Module) -> None:
    """Train another network in the place of the usual one."""
    trainer.network = trainer.forward = network.to(memory_format=torch.channels_last)
    trainer.optimiser = make_optimiser(network, trainer.options)
    state = trainer.network.unet.state_dict()
    trainer.average = {key: value.detach().clone() for key, value in state.items()}


# What the recipes change.
USUAL: dict[str, Any] = {
    "batch": 8,
    "prediction": "v",
    "channels": (64, 96, 128, 192),
    "layers": 2,
    "unshuffle": 2,
}
MUON: dict[str, Any] = {"optimiser": "muon", "lr": 0.005}
# A level more, as the first is at full resolution.
HALF = (32, 48, 64, 96, 192)

RECIPES: dict[str, tuple[dict[str, Any], Change | None]] = {
    "usual": ({}, None),
    "epsilon": ({"prediction": "epsilon"}, None),
    "squared error": ({"loss": "mse"}, None),
    "muon 0.02": ({"optimiser": "muon", "lr": 0.02}, None),
    "muon 0.005": (MUON, None),
    "epsilon, muon 0.005": (MUON | {"prediction": "epsilon"}, None),
    "epsilon, muon, crops of 128": (
        MUON | {"prediction": "epsilon", "size": 128, "batch": 2, "wide_every": 0},
        None,
    ),
    "soap 0.003": ({"lr": 0.003}, soap),
    "soap 0.001": ({"lr": 0.001}, soap),
    "attention at 8x8": ({}, attention),
    **{
        f"epsilon, {name}": ({"prediction": "epsilon"} | changes, None)
        for name, changes in (
            ("min-SNR", {"loss": "min-snr"}),
            ("batch 16", {"batch": 16}),
            ("crops of 96", {"size": 96, "batch": 4, "wide_every": 0}),
            ("crops of 128", {"size": 128, "batch": 2, "wide_every": 0}),
            ("wide bottleneck", {"channels": (64, 96, 128, 320)}),
            ("shallow and wide", {"channels": (96, 128, 160, 224), "layers": 1}),
            ("deep and narrow", {"channels": (48, 72, 96, 144), "layers": 3}),
            ("no unshuffle, half as wide", {"unshuffle": 1, "channels": HALF}),
            ("no unshuffle, muon", MUON | {"unshuffle": 1, "channels": HALF}),
            (
                "no unshuffle, shallow",
                {"unshuffle": 1, "channels": (48, 64, 96, 128, 192), "layers": 1},
            ),
            (
                "no unshuffle, shallow, muon 0.01",
                MUON
                | {
                    "unshuffle": 1,
                    "channels": (32, 64, 96, 128, 192),
                    "layers": 1,
                    "lr": 0.01,
                },
            ),
        )
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--recipe", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--crops", type=int, default=17)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    device = choose_device(asked.device)
    photographs = read_photographs(asked.training, 256).to(device)
    crops = centre_crops(read_photographs(asked.validation, 256), 256)
    crops = crops[:: max(1, len(crops) // asked.crops)][: asked.crops].to(device)
    for name in asked.recipe:
        changes, change = RECIPES[name]
        usual = USUAL | {"minutes": asked.minutes}
        with tempfile.TemporaryDirectory() as folder:
            options = TrainOptions(asked.training, Path(folder), **usual | changes)
        trainer = new_trainer(options, device)
        if change:
            change(trainer)
            trainer.learn = trainer.learn_once  # packages do not promise to be recordable
        began, budget = time.monotonic(), 60 * asked.minutes
        while (elapsed := time.monotonic() - began) < budget:
            train_step(trainer, photographs, elapsed / budget)
        denoiser = Denoiser(trainer.prior(), device, choose_dtype("auto", device))
        quality = denoising_psnr(denoiser, trainer.schedule, crops).values()
        colours = colour_error(denoiser, trainer.schedule, device).values()
        began = time.perf_counter()
        for _ in range(REPEATS):
            denoiser(crops[:1], torch.tensor([300]))
        spent = (time.perf_counter() - began) / REPEATS
        print(
            f"{name:35}{trainer.step:6d} steps  {denoiser.parameters / 1e6:5.1f} M  "
            f"{' / '.join(f'{value:.2f}' for value in quality)} dB  "
            f"{' / '.join(f'{value:.1f}' for value in colours)}  {1000 * spent:.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
