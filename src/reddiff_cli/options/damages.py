"""What `restore` is told: the damages of a picture in their order, as one line of text."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..errors import UsageError
from ..light.response import GAMMA, LINEAR, SRGB, check_response
from .checks import check_between
from .kernelspec import KernelSpec, parse_kernel
from .tasks import SCALES, Filter, Laid, TaskOptions, parse_filter


@dataclass(frozen=True)
class Damage:
    """One part of a composition: blur (kernel), down (scale, filter), grey or mask (path).

    response: of the light that was blurred or reduced (linear: values were); empty: not told.
    """

    kind: str
    kernel: KernelSpec | None = None
    response: str = ""
    scale: int = 1
    filter: Filter = Filter("bicubic")
    path: Path | None = None

    def settings(self) -> list[Any]:
        """Its kind and what it was told, with the Path of a file in its place."""
        told: list[Any] = [] if self.path is None else [self.path]
        if self.kernel is not None:
            told = [self.kernel.path or str(self.kernel), self.response]
        elif self.kind == "down":
            told = [self.scale, self.filter.path or str(self.filter), self.response]
        return [self.kind, *told]


@dataclass(frozen=True)
class RestoreOptions(TaskOptions):
    """Several damages in their order, and the noise that came last (None: not said)."""

    task: ClassVar[str] = "restore"
    parts: tuple[Damage, ...]
    noise: float | None

    @property
    def blurred(self) -> bool:
        # A reduced picture has fine texture again.
        return any(part.kernel for part in self.parts) and all(p.scale == 1 for p in self.parts)

    @property
    def masked(self) -> bool:
        return any(part.kind == "mask" for part in self.parts)

    @property
    def enlargement(self) -> int:
        return math.prod(part.scale for part in self.parts)

    @property
    def kernel_files(self) -> list[Path]:
        files = [(part.kernel and part.kernel.path) or part.filter.path for part in self.parts]
        return [path for path in files if path]

    @property
    def laid(self) -> list[Laid]:
        parts = (part for part in self.parts if part.kernel or part.kind == "down")
        return [Laid(part.kernel, part.scale, part.filter) for part in parts]

    @property
    def shared_mask(self) -> Path | None:
        return next((part.path for part in self.parts if part.kind == "mask"), None)

    def settings(self) -> dict[str, Any]:
        """What the text means: however it is spaced, and wherever its files lie."""
        noise = [] if self.noise is None else [["noise", self.noise]]
        return {"degrade": [part.settings() for part in self.parts] + noise}


def parse_degrade(text: str) -> RestoreOptions:
    """`blur gaussian:1.5 | down 2 box | grey | mask m.png | noise 0.02` -> RestoreOptions.

    UsageError names the part that makes no sense.
    """
    told = [part.strip() for part in text.split("|")]
    noise = None
    parts = []
    for position, part in enumerate(told):
        if part.split()[:1] == ["noise"]:
            if position != len(told) - 1:
                raise UsageError(f"--degrade '{text}': noise comes last, it is added at the end")
            noise = _parse_noise(text, part.split())
        else:
            parts.append(_parse_part(text, part))
    if any(part.kind == "mask" for part in parts[:-1]):
        raise UsageError(f"--degrade '{text}': the mask comes last, at the size of the picture")
    if sum(part.kind == "grey" for part in parts) > 1:
        raise UsageError(f"--degrade '{text}': colours are lost once; drop one grey")
    if not parts:
        raise UsageError(
            f"--degrade '{text}': names no damage; as in 'blur gaussian:1.5 | down 2'"
        )
    return RestoreOptions(tuple(parts), noise)


def _parse_part(text: str, part: str) -> Damage:
    match part.split(maxsplit=1):  # a file's name may hold blanks
        case ["blur", how]:
            return _parse_blur(text, how)
        case ["down", how] if how.split()[0].isdecimal():
            return _parse_down(text, how)
        case ["grey"]:
            return Damage("grey")
        case ["mask", name]:
            path = Path(name)
            if not path.is_file():
                raise UsageError(f"--degrade '{text}': {path}: no such file")
            return Damage("mask", path=path)
    raise UsageError(
        f"--degrade '{text}': '{part}' is no part; use blur KERNEL [RESPONSE], "
        "down SCALE [FILTER] [RESPONSE], grey, mask FILE, noise SIGMA"
    )


def _parse_blur(text: str, how: str) -> Damage:
    """`KERNEL [RESPONSE]`."""
    kernel, response = _split_response(text, f"blur {how}", how)
    spec = parse_kernel(kernel, f"--degrade '{text}': blur {how}")
    if spec.family == "auto":
        raise UsageError(f"--degrade '{text}': a kernel of a composition must be given")
    return Damage("blur", kernel=spec, response=response)


def _parse_down(text: str, how: str) -> Damage:
    """`SCALE [FILTER] [RESPONSE]`."""
    told, response = _split_response(text, f"down {how}", how)
    scale, *rest = told.split(maxsplit=1)
    check_between(f"--degrade '{text}': down", int(scale), *SCALES)
    chosen = parse_filter(rest[0], f"--degrade '{text}':") if rest else Filter("bicubic")
    return Damage("down", scale=int(scale), filter=chosen, response=response)


def _split_response(text: str, part: str, how: str) -> tuple[str, str]:
    """`... [RESPONSE]` -> what is before it, and it or nothing; names of files may hold blanks."""
    before, _, last = how.rpartition(" ")
    if not before.strip() or not (last in (SRGB, LINEAR) or last.startswith(f"{GAMMA}:")):
        return how, ""
    check_response(last, asked=f"--degrade '{text}': {part}")
    return before.strip(), last


def _parse_noise(text: str, part: list[str]) -> float:
    try:
        noise = float(part[1])
    except (IndexError, ValueError):
        noise = math.nan
    if len(part) != 2 or not 0 <= noise <= 1:
        raise UsageError(f"--degrade '{text}': noise takes one number from 0 to 1")
    return noise
