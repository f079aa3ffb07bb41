"""Camera responses: how linear light becomes the value in a file (OETF), and back (EOTF).

sRGB is IEC 61966-2-1. Below zero the straight toe of sRGB goes on, and gamma as an odd function;
above one the curves simply go on. So they can be inverted everywhere. Everything takes torch
tensors and numpy arrays alike.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Values = TypeVar("Values", "Tensor", "NDArray[Any]")

SRGB, LINEAR, GAMMA = "srgb", "linear", "gamma"
_TOE, _SLOPE = 0.0031308, 12.92
_POWER = 2.4
_TINY = 1e-12


@dataclass(frozen=True)
class Response:
    """A response curve; `encode` and `decode` are elementwise, increasing, inverse to each other.

    kind: srgb, linear or gamma (encoded = light ^ (1 / gamma)).
    """

    kind: str = SRGB
    gamma: float = 2.2

    def encode(self, light: Values) -> Values:
        """Linear light -> value in the file; [0, 1] -> [0, 1]."""
        if self.kind == SRGB:
            curve = 1.055 * light.clip(min=_TOE) ** (1 / _POWER) - 0.055
            return _choose(light > _TOE, curve, _SLOPE * light)
        return _odd_power(light, 1 / self.gamma) if self.kind == GAMMA else 1 * light

    def decode(self, value: Values) -> Values:
        """Value in the file -> linear light; [0, 1] -> [0, 1]."""
        if self.kind == SRGB:
            toe = _SLOPE * _TOE
            curve = ((value.clip(min=toe) + 0.055) / 1.055) ** _POWER
            return _choose(value > toe, curve, value / _SLOPE)
        return _odd_power(value, self.gamma) if self.kind == GAMMA else 1 * value

    def slope(self, value: Values) -> Values:
        """Derivative of `decode`: light by value."""
        if self.kind == SRGB:
            return 1 / _srgb_slope(self.decode(value), value)
        power = self.gamma if self.kind == GAMMA else 1.0
        return power * _magnitude(value) ** (power - 1)

    def expose(self, value: Values, gain: float) -> tuple[Values, Values]:
        """OETF(gain EOTF(value)), not clipped, and its derivative by value."""
        if self.kind != SRGB:
            slope = gain ** (1 / self.gamma) if self.kind == GAMMA else gain
            return slope * value, 0 * value + slope
        light = self.decode(value)
        exposed = gain * light
        encoded = self.encode(exposed)
        slope = gain * _srgb_slope(exposed, encoded) / _srgb_slope(light, value)
        return encoded, slope


# What displays show of light; and what knows of none.
LIGHT, VALUES = Response(SRGB), Response(LINEAR)


def parse_response(text: str) -> Response:
    """`srgb`, `linear` or `gamma:G` -> Response; ValueError for anything else."""
    if text in (SRGB, LINEAR):
        return Response(text)
    match = re.fullmatch(r"gamma:(\d+(?:\.\d*)?|\.\d+)", text)
    if match is None or not 0.2 <= float(match[1]) <= 5:
        raise ValueError(f"{text}: unknown; use srgb, linear, or gamma:G with G from 0.2 to 5")
    return Response(GAMMA, float(match[1]))


def check_response(text: str, *others: str, asked: str = "") -> None:
    """UsageError unless `parse_response` knows it, or it is one of the others.

    Its message begins with the flag and the text, or with `asked`.
    """
    if text in others:
        return
    try:
        parse_response(text)
    except ValueError as error:
        told = ", ".join((*others, str(error).partition("use ")[2]))
        asked = asked or f"--response {text}"
        raise UsageError(f"{asked}: unknown; use {told}") from error


def _srgb_slope(light: Values, value: Values) -> Values:
    """Derivative of the sRGB curve by linear light, of which `value` is the encoded one.

    Powers are slow: that of the curve is in the value.
    """
    curve = (value + 0.055) / (_POWER * light.clip(min=_TOE))
    return _choose(light > _TOE, curve, _SLOPE)


def _choose(condition: Values, yes: Values, no: Values | float) -> Values:
    """`where` for finite tensors and arrays, neither library being imported.    condition: bool"""
    if hasattr(yes, "where"):  # of tensors, in a quarter of the time
        chosen: Values = yes.where(condition, no)
    else:
        chosen = condition * yes + ~condition * no
    return chosen


def _odd_power(base: Values, exponent: float) -> Values:
    """sign(base) |base| ^ exponent, with a finite gradient at 0."""
    return base * _magnitude(base) ** (exponent - 1)


def _magnitude(base: Values) -> Values:
    size: Values = abs(base)
    return size.clip(min=_TINY)
