"""What `--kernel` says: a family with its parameters, a file, or `auto`; plain data, no torch."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UsageError, counted

Family = Literal["gaussian", "motion", "disk", "uniform", "file", "auto"]

# family -> the form to write, and (name, smallest, largest) of each value.
_FORMS: dict[Family, tuple[str, tuple[tuple[str, float, float], ...]]] = {
    "gaussian": ("gaussian:S", (("S (sigma in pixels)", 0.1, 50),)),
    "motion": ("motion:LENGTH,ANGLE", (("LENGTH (pixels)", 1, 300), ("ANGLE", -360, 360))),
    "disk": ("disk:R", (("R (radius in pixels)", 0.3, 150),)),
    "uniform": ("uniform:N", (("N (pixels)", 1, 300),)),
}
GIVEN = ", ".join(form for form, _ in _FORMS.values()) + ", FILE (.npy or picture)"
KERNEL_HELP = f"{GIVEN}, auto"


@dataclass(frozen=True)
class KernelSpec:
    """A blur kernel as the user names it.

    parameters, in pixels and degrees: gaussian (sigma), motion (length, angle in [0, 180)
    counter-clockwise from the x axis as the picture is seen), disk (radius), uniform (side).
    path: only of the family `file`. `auto` has neither: the kernel is to be estimated.
    """

    family: Family
    parameters: tuple[float, ...] = ()
    path: Path | None = None

    def __str__(self) -> str:
        """The text that gives this kernel again, for messages and the settings record."""
        if self.path is not None:
            return str(self.path)
        values = ",".join(f"{value:.6g}" for value in self.parameters)
        return f"{self.family}:{values}" if values else self.family


def parse_kernel(text: str, asked: str = "") -> KernelSpec:
    """`gaussian:S`, `motion:LENGTH,ANGLE`, `disk:R`, `uniform:N`, a file, `auto` -> KernelSpec.

    UsageError for anything else and for values out of range; its message begins with the flag and
    the text, or with `asked`, where `auto` is not offered.
    """
    forms = GIVEN if asked else KERNEL_HELP
    asked = asked or f"--kernel {text}"
    if text.strip() == "auto":
        return KernelSpec("auto")
    name, _, values = text.strip().partition(":")
    for family in _FORMS:
        if name == family:
            return KernelSpec(family, _parse_values(asked, family, values))
    path = Path(text)
    if not text.strip() or not path.is_file():
        raise UsageError(f"{asked}: no such file or family; give {forms}")
    return KernelSpec("file", path=path)


def _parse_values(asked: str, family: Family, values: str) -> tuple[float, ...]:
    form, ranges = _FORMS[family]
    parts = values.split(",")
    if len(parts) != len(ranges) or not all(part.strip() for part in parts):
        found = sum(bool(part.strip()) for part in parts)
        raise UsageError(
            f"{asked}: {counted(found, 'value')} instead of {len(ranges)}; write {form}"
        )
    numbers = [_parse_number(asked, form, part) for part in parts]
    for number, (name, smallest, largest) in zip(numbers, ranges, strict=True):
        if not smallest <= number <= largest:
            raise UsageError(f"{asked}: {name} is {number:g}; give {smallest:g} to {largest:g}")
    if family == "uniform" and not numbers[0].is_integer():
        raise UsageError(f"{asked}: N is {numbers[0]:g}; give a whole number of pixels")
    if family == "motion":
        # Half a turn changes nothing; the second remainder catches -1e-17 % 180 = 180.
        numbers[1] = numbers[1] % 180.0 % 180.0
    return tuple(numbers)


def _parse_number(asked: str, form: str, part: str) -> float:
    try:
        number = float(part)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{asked}: '{part.strip()}' is no finite number; write {form}")
    return number
