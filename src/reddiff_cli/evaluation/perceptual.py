"""LPIPS (Zhang et al. 2018, arXiv 1801.03924) and KID (Binkowski et al. 2018, arXiv 1801.01401).

Both need packages (the extra `metrics`) and trained weights that are not ours. They are used where
both lie on this machine already, and reported as missing otherwise: nothing is ever fetched.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

LPIPS, KID = "lpips", "kid"
# Files in the cache of torch.hub, named by their packages.
LPIPS_WEIGHTS = "alexnet-owt-7be5be79.pth"
KID_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
LPIPS_PACKAGES = ("torchmetrics", "torchvision")
KID_PACKAGES = ("torch_fidelity",)
# AlexNet's layers shrink smaller pictures to nothing.
LPIPS_SIDE = 32
# Fewer pictures say nothing about a distribution.
KID_PICTURES = 10

Distance = Callable[[Tensor, Tensor], float | None]
Features = Callable[[Tensor], Tensor]


def missing(name: str) -> str:
    """Why a metric cannot be measured here, or nothing."""
    packages, weights = {
        LPIPS: (LPIPS_PACKAGES, LPIPS_WEIGHTS),
        KID: (KID_PACKAGES, KID_WEIGHTS),
    }[name]
    absent = [package for package in packages if find_spec(package) is None]
    if absent:
        return f"no {', '.join(absent)}; pip install 'reddiff-cli[metrics]'"
    path = _cached(weights)
    return "" if path.is_file() else f"no weights; put them at {path}"


def load_lpips() -> Distance:
    """The distance of two pictures (1, 1 or 3, H, W) in [-1, 1] by AlexNet's features.

    None for pictures of less than LPIPS_SIDE pixels on a side.
    """
    from torchmetrics.functional.image.lpips import _NoTrainLpips

    network = _NoTrainLpips(net="alex")

    def measure(x: Tensor, reference: Tensor) -> float | None:
        if min(x.shape[2:]) < LPIPS_SIDE:
            return None
        pair = [picture.expand(-1, 3, -1, -1).float().cpu() for picture in (x, reference)]
        with torch.no_grad():
            return float(network(*pair).mean())

    return measure


def load_features() -> Features:
    """(N, 1 or 3, H, W) in [-1, 1] -> (N, 2048), the pool of the Inception network of KID."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = str(_cached(KID_WEIGHTS))
    network = FeatureExtractorInceptionV3("kid", ["2048"], feature_extractor_weights_path=path)

    def extract(x: Tensor) -> Tensor:
        eight = ((x.expand(-1, 3, -1, -1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        with torch.no_grad():
            features: Tensor = network(eight)[0]
        return features

    return extract


def kid(features: Tensor, reference: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel (a . b / d + 1)^3; (N, d) each.

    Zero on average for two sets of one distribution, so that it may be negative.
    """
    if min(len(features), len(reference)) < 2:
        raise ValueError("KID needs two pictures of each kind")
    x, y = features.double(), reference.double()
    within = _off_diagonal_mean(_kernel(x, x)) + _off_diagonal_mean(_kernel(y, y))
    return float(within - 2 * _kernel(x, y).mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _off_diagonal_mean(matrix: Tensor) -> Tensor:
    count = len(matrix)
    total: Tensor = (matrix.sum() - matrix.diagonal().sum()) / (count * (count - 1))
    return total


def _cached(name: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / name
