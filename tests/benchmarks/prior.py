"""What a prior knows: its denoising at all levels, and whether its colours hold still.

    python tests/benchmarks/prior.py FOLDER [--limit 67] [--model natural]

FOLDER: photographs that it was not trained on; centre 256x256 crops. Prints
- PSNR in dB of D at noise 15, 25 and 50 (of 255), as the classical denoisers are measured, and
  the same of the crops in grey;
- the same at 50 in each of the eight positions of a square (denoisers/symmetry.py), and of the
  mean of what the network says in all of them; in training photographs, how much of them it knows
  by heart;
- PSNR at s = 1, 3 and 10 beside the best that a constant can do (the mean colour of the noisy
  picture) and a linear estimate can (Wiener: every frequency by the 3x3 covariance of its colours,
  taken from the very crops, which favours it);
- the error of the mean colour of D on noisy constant pictures of 20 colours (rms, of 255);
- how far the mean colour of a crop moves (of 255) when D is applied 50 times at s = 0.5, each time
  to fresh noise and without any data: mean and worst over 16 crops.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import Denoiser, load_denoiser
from reddiff_cli.denoisers.symmetry import TURNS
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.metrics import psnr
from reddiff_cli.training.photographs import centre_crops, read_photographs
from reddiff_cli.training.validation import colour_error, denoising_psnr

HIGH = (1.0, 3.0, 10.0)
TURNED_SIGMA = 50  # of 255
DRIFT_LEVEL, DRIFT_STEPS, DRIFT_CROPS = 0.5, 50, 16
Estimate = Callable[[Tensor, float], Tensor]  # z, s -> x


def constant(z: Tensor, s: float) -> Tensor:
    return z.mean((2, 3), keepdim=True).expand_as(z)


def wiener(crops: Tensor) -> Estimate:
    """The best linear estimate, shift by shift, for pictures with the spectrum of these."""
    average = crops.mean((0, 2, 3))[None, :, None, None]
    spectra = torch.fft.rfft2(crops - average, norm="ortho")
    covariance = torch.einsum("nchw,ndhw->hwcd", spectra, spectra.conj()) / len(crops)

    def estimate(z: Tensor, s: float) -> Tensor:
        noisy = covariance + s**2 * torch.eye(z.shape[1])
        gain = torch.linalg.solve(noisy, covariance, left=False)
        spectrum = torch.fft.rfft2(z - average, norm="ortho")
        filtered = torch.einsum("hwcd,ndhw->nchw", gain, spectrum)
        return average + torch.fft.irfft2(filtered, s=z.shape[2:], norm="ortho")

    return estimate


def by_network(denoiser: Denoiser) -> Estimate:
    schedule = denoiser.schedule

    def estimate(z: Tensor, s: float) -> Tensor:
        t = torch.tensor([schedule.nearest_t(s)])
        return denoiser(z.to(denoiser.device), t).cpu()

    return estimate


def quality(estimate: Estimate, crops: Tensor, s: float) -> float:
    generator = torch.Generator().manual_seed(round(10 * s))
    total = 0.0
    for x in torch.split(crops, 1):
        z = x + s * torch.randn(x.shape, generator=generator)
        total += psnr(estimate(z, s).clamp(-1, 1), x).item()
    return total / len(crops)


def positions(estimate: Estimate, crops: Tensor, s: float) -> list[float]:
    """PSNR in dB in every position, the upright one first, and of their mean."""
    generator = torch.Generator().manual_seed(0)
    scores = []
    for x in torch.split(crops, 1):
        z = x + s * torch.randn(x.shape, generator=generator)
        seen = [turn.back(estimate(turn(z).contiguous(), s)) for turn in TURNS]
        seen.append(sum(seen, torch.zeros_like(x)) / len(seen))
        scores.append([psnr(one.clamp(-1, 1), x).item() for one in seen])
    return torch.tensor(scores).mean(0).tolist()


def drift(estimate: Estimate, crops: Tensor) -> tuple[float, float]:
    """Mean and worst rms shift of the mean colour over crops, of 255."""
    generator = torch.Generator().manual_seed(0)
    shifts = []
    for x in torch.split(crops, 1):
        mu = x
        for _ in range(DRIFT_STEPS):
            mu = estimate(
                mu + DRIFT_LEVEL * torch.randn(x.shape, generator=generator), DRIFT_LEVEL
            )
        moved = (mu - x).mean((2, 3)).square().mean().sqrt()
        shifts.append(float(moved) * 127.5)
    return sum(shifts) / len(shifts), max(shifts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=67)
    parser.add_argument("--model", default="natural")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    device = choose_device(asked.device)
    folder = find_model(asked.model).folder
    denoiser = load_denoiser(folder, device, choose_dtype("auto", device))
    crops = centre_crops(read_photographs(asked.folder, 256), 256)
    crops = crops[:: max(1, len(crops) // asked.limit)][: asked.limit]
    print(f"{len(crops)} crops of 256x256, {asked.model} on {device}")

    found = denoising_psnr(denoiser, denoiser.schedule, crops.to(device))
    print("noise of 255:  " + "   ".join(f"{n} {value:.2f} dB" for n, value in found.items()))
    grey = crops.mean(1, keepdim=True).to(device)
    found = denoising_psnr(denoiser, denoiser.schedule, grey)
    print("in grey:       " + "   ".join(f"{n} {value:.2f} dB" for n, value in found.items()))
    network, linear = by_network(denoiser), wiener(crops)
    upright, *turned, mean = positions(network, crops, TURNED_SIGMA / 127.5)
    print(f"{TURNED_SIGMA} in positions: upright {upright:.2f} dB, others ", end="")
    print(f"{min(turned):.2f} to {max(turned):.2f}, their mean {mean:.2f}")
    for s in HIGH:
        mine, filtered, flat = (quality(e, crops, s) for e in (network, linear, constant))
        print(f"s = {s:<4g} network {mine:.2f} dB, linear {filtered:.2f}, constant {flat:.2f}")
    colours = colour_error(denoiser, denoiser.schedule, device)
    shown = "   ".join(f"s = {s}: {error:.1f}" for s, error in colours.items())
    print(f"colour error (of 255):  {shown}")
    mean, worst = drift(network, crops[:: max(1, len(crops) // DRIFT_CROPS)][:DRIFT_CROPS])
    print(f"{DRIFT_STEPS} times D at s = {DRIFT_LEVEL:g} (of 255): {mean:.1f}, worst {worst:.1f}")


if __name__ == "__main__":
    main()
