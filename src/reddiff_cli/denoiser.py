"""The boundary between networks and everything else: `denoiser(z, t) -> D`.

Parametrisation, learned variance, dtype, padding and batching live behind it; in front of it there
is only z = x + s_t eps and the denoised picture D, both fp32.
"""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .cards import Card
from .devices import check_device
from .errors import DeviceMissing, ModelMissing, counted
from .folders import WEIGHTS, locate
from .grey import Completion
from .memory import free_memory, is_out_of_memory
from .networks.convert import convert_file
from .networks.network import Network, Prior, clean_from_output, layout_on, load_prior
from .networks.replay import Replay
from .schedule import Schedule
from .signatures import DenoiseFunction
from .transfer import send

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Above 32 nearest upsampling in channels_last fails on CUDA; on CPUs 16 already saturates.
MICRO_BATCH = 16
# Recorded activations take about six times the memory of an inference.
RECORDED_BATCH = 4


class Denoiser:
    """denoiser(z, t) -> D over a prior.

    z: (B, C, H, W) fp32, about [-1, 1] plus noise of level s_t; C is 1 or 3.
    t: (B,) integer, best on the CPU.    D: (B, C, H, W) fp32, not clipped.    Any H and W; nothing
    is recorded for autograd, except by `recorded`. A grey picture under a colour prior gets noise
    in colour, and D is averaged (grey.py); a colour picture under a grey prior is taken channel by
    channel. A picture smaller than a network with attention was trained on (or than `smallest`, if
    that is less) is continued by its mirror images. graphs: fixed shapes are recorded
    (networks/replay.py).

    Above the last level s_h that a network was trained on, it sees a fainter picture at that
    level: D(z, s) = D(z s_h / s, s_h). That is near the mean of all pictures, as it should be;
    told of s_h and shown z, an error of eps would come back s times as large.
    """

    def __init__(
        self,
        prior: Prior,
        device: torch.device,
        dtype: torch.dtype,
        smallest: int | None = None,
        graphs: bool = False,
    ) -> None:
        self.schedule: Schedule = prior.schedule
        self.device = device
        self.dtype = dtype
        self.multiple = prior.network.multiple
        self.channels = prior.network.channels
        self.smallest = min(prior.network.smallest, smallest or prior.network.smallest)
        self.rows = MICRO_BATCH  # fewer once memory has run out
        self._prediction = prior.prediction
        # torch's stubs know no overload of `to` with a memory format alone.
        self._network: Network = prior.network.to(  # type: ignore[call-overload]
            device=device, dtype=dtype, memory_format=layout_on(device)
        )
        self._completion = Completion(prior.schedule)
        self._graphs = graphs
        self._fast = Replay(self._network) if graphs else self._network
        self._seen = _levels_seen(prior)
        # By time step: alpha_bar of the level that is seen, and what z is multiplied by for it.
        s, alpha_bar = prior.schedule.s, prior.schedule.alpha_bar
        known = self._seen == torch.arange(len(s))  # also where there is no noise at all
        self._alpha_bar = alpha_bar[self._seen].to(torch.float32)
        self._faint = torch.where(known, 1.0, s[self._seen] / s).to(torch.float32)
        self._there = [table.to(device) for table in (self._alpha_bar, self._faint, self._seen)]

    @torch.no_grad()
    def __call__(self, z: Tensor, t: Tensor) -> Tensor:
        return self._in_parts(z, t, self._denoise, MICRO_BATCH)

    @property
    def parameters(self) -> int:
        """How many numbers the network has learned."""
        return sum(weight.numel() for weight in self._network.parameters())

    @property
    def network(self) -> Network:
        """What runs behind the boundary: x_t and t on the device, in `dtype`."""
        return self._network

    @property
    def path(self) -> str:
        """How the network is run, for people."""
        layout = str(layout_on(self.device)).removeprefix("torch.")
        return f"{'graph' if self._graphs else 'eager'}, {layout}"

    def heed(self, check: Callable[[], None]) -> None:
        """Call `check` within evaluations, too, where they take seconds: on a CPU.

        What it raises ends them. Of the 3.4 s that 1024x560 pixels take on a core, no block takes
        more than 0.5; all checks together take 0.15 ms.
        """
        if self.device.type == "cpu":
            self._network.heed(check)

    def padded(self, length: int) -> int:
        """Side of what the network sees of a picture of this side."""
        return _padded(length, self.multiple, self.smallest)

    def pixels(self, z: Tensor) -> int:
        """Pixels that go through the network for a batch (B, C, H, W)."""
        rows = len(z) * (3 if z.shape[1] == 3 and self.channels == 1 else 1)
        return rows * self.padded(z.shape[2]) * self.padded(z.shape[3])

    def recorded(self, z: Tensor, t: Tensor) -> Tensor:
        """The same D, recorded for autograd from z to D; the weights take no gradient.

        Of more than RECORDED_BATCH rows only z is kept, and the way back computes activations
        again, part by part: a third slower, and memory does not grow with the batch.
        """
        denoise = self._denoise if len(z) <= RECORDED_BATCH else self._denoise_twice
        with torch.enable_grad():
            return self._in_parts(z, t, denoise, RECORDED_BATCH)

    def _in_parts(self, z: Tensor, t: Tensor, denoise: DenoiseFunction, rows: int) -> Tensor:
        if z.shape[1] == 1 and self.channels == 3:
            return self._in_parts(*self._completion(z, t), denoise, rows).mean(1, keepdim=True)
        if z.shape[1] == 3 and self.channels == 1:
            # (B, 3, H, W) -> (3 B, 1, H, W) and back
            rows_of_grey = z.flatten(0, 1)[:, None]
            clean = self._in_parts(rows_of_grey, t.repeat_interleave(3), denoise, rows)
            return clean.view_as(z)
        if z.shape[1] != self.channels:
            raise ValueError(f"picture has {z.shape[1]} channels, prior has {self.channels}")
        height, width = z.shape[2:]
        padded = _pad(z, self.multiple, self.smallest)
        return self._as_memory_allows(padded, t, denoise, rows)[:, :, :height, :width]

    def _as_memory_allows(
        self, z: Tensor, t: Tensor, denoise: DenoiseFunction, rows: int
    ) -> Tensor:
        """D, some rows at a time; where memory runs out, half as many from then on."""
        while True:
            rows = min(rows, self.rows)
            try:
                if len(z) <= rows:
                    return denoise(z, t)
                parts = zip(torch.split(z, rows), torch.split(t, rows), strict=True)
                return torch.cat([denoise(*part) for part in parts])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or min(rows, len(z)) == 1:
                    raise
            # Outside of `except`, whose traceback would keep the tensors of the failed try.
            self.rows = max(1, min(rows, len(z)) // 2)
            free_memory(self.device)

    def _denoise_twice(self, z: Tensor, t: Tensor) -> Tensor:
        clean: Tensor = checkpoint(
            self._denoise, z, t, use_reentrant=False, preserve_rng_state=False
        )
        return clean

    def _denoise(self, z: Tensor, t: Tensor) -> Tensor:
        alpha_bar, faint, there = self._level(t)
        z = z * faint
        network = self._network if torch.is_grad_enabled() else self._fast
        out = network((alpha_bar.sqrt() * z).to(self.dtype), there)
        return clean_from_output(out.float(), z, alpha_bar, self._prediction)

    def _level(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """alpha_bar and `faint`, broadcastable to pictures, and t on the device, all of the levels
        that are seen; no device is waited for.

        A single level is a number of the CPU, which goes with tensors of any device.
        """
        if t.device.type == "cpu":
            steps = t.tolist()
            if min(steps) == max(steps):
                step = steps[0]
                there = torch.full((len(steps),), int(self._seen[step]), device=self.device)
                return self._alpha_bar[step], self._faint[step], there
            t = send(t, self.device)
        alpha_bar, faint, seen = (table[t] for table in self._there)
        return alpha_bar[:, None, None, None], faint[:, None, None, None], seen


def _levels_seen(prior: Prior) -> Tensor:
    """By time step, the one whose level the network sees: the last that it knows at most."""
    count, highest = len(prior.schedule.alpha_bar), prior.network.highest
    return torch.arange(count).clamp(max=count - 1 if highest is None else highest)


def load_denoiser(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    weights: str = WEIGHTS,
    smallest: int | None = None,
    graphs: bool = False,
) -> Denoiser:
    """Denoiser of a diffusers folder; ModelMissing if the folder is not usable."""
    return Denoiser(load_prior(folder, weights, dtype), device, dtype, smallest, graphs)


def load_model(
    card: Card, device: torch.device, dtype: torch.dtype, graphs: bool = False
) -> Denoiser:
    """Denoiser of a card that find_model has found; a guided-diffusion file is converted once."""
    if card.source and card.origin and locate(card.folder).missing:
        try:
            convert_file(card.source, card.folder, card.origin.family)
        except ModelMissing as error:
            if locate(card.folder).missing:  # and no other process has written it meanwhile
                raise ModelMissing(
                    f"model '{card.name}': {error}; 'reddiff models convert {card.source} "
                    f"NEWFOLDER --family {card.origin.family}' writes it elsewhere"
                ) from error
    return load_denoiser(card.folder, device, dtype, card.weights, card.smallest, graphs)


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


def _pad(z: Tensor, multiple: int, smallest: int) -> Tensor:
    """Continue by mirror images to at least `smallest`, and to a multiple; (B, C, H, W)."""
    height, width = (_padded(length, multiple, smallest) for length in z.shape[2:])
    if (height, width) == tuple(z.shape[2:]):
        return z
    rows = _mirror(z.shape[2], height, z.device)
    columns = _mirror(z.shape[3], width, z.device)
    return z[:, :, rows[:, None], columns]


def _padded(length: int, multiple: int, smallest: int) -> int:
    return -(-max(length, smallest) // multiple) * multiple


def _mirror(length: int, padded: int, device: torch.device) -> Tensor:
    """Positions 0, 1, ..., length - 1, length - 2, ..., 1, 0, 1, ...: there and back."""
    period = max(2 * (length - 1), 1)
    there = torch.arange(padded, device=device) % period
    return torch.minimum(there, period - there) if length > 1 else there
