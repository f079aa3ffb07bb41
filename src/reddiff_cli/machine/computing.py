"""Where it is computed, and in which numbers: the device, its dtype, the same bits every time."""

import os

import torch

from ..errors import DeviceMissing, counted
from .devices import check_device

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """`auto` takes cuda, then mps, then cpu; `auto@N` and `cuda@N` the N-th GPU, again from the
    first after the last, for one process of several.

    UsageError for other names, DeviceMissing if a named device is absent.
    """
    check_device(name)
    kind, _, rank = name.partition("@")
    if kind == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", int(rank or 0) % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(kind)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise DeviceMissing(
                f"--device {kind}: this machine has {counted(count, 'CUDA device')}; use cpu"
            )
        return torch.device("cuda", int(rank) % count) if rank else device
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceMissing(f"--device {name}: there is no MPS on this machine; use cpu")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto`: fp16 on CUDA and MPS, bf16 on CPUs that compute in it, fp32 elsewhere."""
    if name != "auto":
        return DTYPES[name]
    if device.type != "cpu":
        return torch.float16
    return torch.bfloat16 if cpu_has_bf16() else torch.float32


def compute_exactly() -> None:
    """The same bits every time: no TF32, deterministic kernels only; before CUDA begins."""
    # Without a workspace of fixed size cuBLAS may take other kernels each time (PyTorch's notes on
    # reproducibility).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False


def cpu_has_bf16() -> bool:
    """True if the CPU multiplies in bf16; emulated, it would be slower than fp32 by far."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)
