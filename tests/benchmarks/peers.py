"""Our DiffPIR and DPS beside those of deepinv: same network, operator, measurement and picture.

    pip install 'reddiff-cli[peers]'
    python tests/benchmarks/peers.py FOLDER [--limit 2] [--crop 128] [--steps 50] [--noise 0.05]
        [--task superres ...] [--peer diffpir dps]

Prints PSNR of the 8-bit results, evaluations of the network and seconds. What differs is the
implementation alone: grid of time steps, where the first iterate comes from, constants (for
DiffPIR, deepinv's own and ours are both shown; --peer dps runs deepinv's 1000 steps at least).
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import deepinv
import torch
from torch import Tensor

from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import Denoiser, load_model
from reddiff_cli.evaluation.degrade import Specimen, degrade
from reddiff_cli.evaluation.evaluate import eight_bits
from reddiff_cli.evaluation.options import Case, make_case
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.methods import Solving
from reddiff_cli.metrics import psnr
from reddiff_cli.options.common import SolverOptions
from reddiff_cli.pictures.files import load_picture
from reddiff_cli.planning.jobs import list_pictures
from reddiff_cli.solvers.diffpir import SETTINGS
from reddiff_cli.tasks import Setting
from reddiff_cli.tasks.problem import to_pixels

CASES = {
    "inpaint": {"hole": "random:0.7"},
    "superres": {"scale": 4, "downsample": "box"},
    "deblur": {"kernel": "gaussian:2"},
}


class Network(torch.nn.Module):
    """Our denoiser as deepinv calls one: x in [0, 1] with noise of level sigma in those units."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.calls = denoiser, 0

    def forward(self, x: Tensor, sigma: Tensor, *_: object, **__: object) -> Tensor:
        self.calls += 1
        level = 2 * float(torch.as_tensor(sigma).flatten()[0])
        t = torch.full((len(x),), self.denoiser.schedule.nearest_t(level))
        z = 2 * x - 1
        recording = torch.is_grad_enabled() and z.requires_grad
        clean = self.denoiser.recorded(z, t) if recording else self.denoiser(z, t)
        return (clean + 1) / 2


class Physics(deepinv.physics.LinearPhysics):
    """Our operator on pictures in [0, 1]; A of a constant is taken from the operator itself."""

    def __init__(self, specimen: Specimen) -> None:
        super().__init__(noise_model=deepinv.physics.GaussianNoise(max(specimen.noise, 1e-3)))
        self.own, self.specimen = specimen.operator, specimen

    def A(self, x: Tensor, **_: object) -> Tensor:  # noqa: N802  (deepinv's name)
        return (self.own(2 * x - 1) + 1) / 2

    def A_adjoint(self, y: Tensor, **_: object) -> Tensor:  # noqa: N802
        return self.own.adjoint(y)

    def prox_l2(self, z: Tensor, y: Tensor, gamma: Tensor, **_: object) -> Tensor:
        """argmin_x gamma / 2 |A x - y|^2 + |x - z|^2 / 2: our data step with r = 1 / gamma."""
        r = 1 / float(gamma)
        return (self.own.data_step(2 * z - 1, 2 * y - 1, r) + 1) / 2


def run_peer(name: str, specimen: Specimen, network: Network, task: str, steps: int) -> Tensor:
    """The picture on its canvas, in [-1, 1]."""
    physics = Physics(specimen)
    y, start = (specimen.y + 1) / 2, (specimen.start + 1) / 2
    fidelity = deepinv.optim.data_fidelity.L2()
    torch.manual_seed(0)
    if name == "diffpir":
        zeta, weight = SETTINGS[task]
        sampler = deepinv.sampling.DiffPIR(
            network,
            fidelity,
            sigma=max(specimen.noise, 1e-3),
            max_iter=steps,
            zeta=zeta,
            lambda_=weight,
        )
        return 2 * sampler(y, physics, x_init=start) - 1
    sampler = deepinv.sampling.DPS(network, fidelity, max_iter=steps)
    return 2 * sampler(y, physics, x_init=start) - 1


def run_ours(
    name: str, specimen: Specimen, denoiser: Denoiser, card: Card, task: str, steps: int
) -> Tensor:
    """The picture on its canvas, in [-1, 1]; from the whole canvas, as the peer sees it."""
    solver = SolverOptions(method=name, steps=steps, noise=specimen.noise)
    setting = Setting(card, solver, lambda _: None)
    (stage,) = specimen.pose(setting).stages()
    plain = replace(
        stage,
        view=setting.view(),
        operator=specimen.operator,
        y=specimen.y,
        start=specimen.start,
    )
    generator = torch.Generator().manual_seed(0)

    def draw() -> Tensor:
        return torch.randn(plain.start.shape, generator=generator)

    *_, (_, x) = Solving(task, plain, plain.start, draw, denoiser, card, solver).run()
    return x


def score(x: Tensor, specimen: Specimen) -> float:
    pixels = torch.from_numpy(eight_bits(to_pixels(specimen.crop(x))))
    return float(psnr(pixels.permute(2, 0, 1)[None] * 2 - 1, specimen.truth))


def compare(case: Case, specimen: Specimen, denoiser: Denoiser, card: Card, peer: str, steps: int):
    """(name, PSNR, evaluations, seconds) of the start, ours and the peer's."""
    yield "start", score(specimen.start, specimen), 0, 0.0
    began = time.monotonic()
    ours = run_ours(peer, specimen, denoiser, card, case.task, steps)
    yield f"{peer} (ours)", score(ours, specimen), steps, time.monotonic() - began
    network, began = Network(denoiser), time.monotonic()
    theirs = run_peer(peer, specimen, network, case.task, steps)
    yield f"{peer} (deepinv)", score(theirs, specimen), network.calls, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=2)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--task", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--peer", nargs="*", default=["diffpir"], choices=["diffpir", "dps"])
    parser.add_argument("--model", default="natural")
    asked = parser.parse_args()

    card, device = find_model(asked.model), choose_device("cpu")
    denoiser = load_model(card, device, choose_dtype("auto", device))
    print(f"deepinv {deepinv.__version__}, {card.name} on {device}")
    for path in list_pictures([asked.folder], True)[: asked.limit]:
        for task in asked.task:
            case = make_case(task, CASES[task], asked.noise)
            specimen = degrade(load_picture(path), case, asked.crop, 0)
            for peer in asked.peer:
                for name, value, calls, seconds in compare(
                    case, specimen, denoiser, card, peer, asked.steps
                ):
                    print(
                        f"{path.stem:24}{task:10}{name:20}{value:7.2f} dB{calls:6d} evaluations"
                        f"{seconds:8.1f} s",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
