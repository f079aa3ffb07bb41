"""What became of one picture: for the line that people see, and the object that scripts get."""

from dataclasses import dataclass
from typing import Any

from .jobs import Record
from .noise import SLIGHT, TOO_MUCH, is_too_much, judge_residual

# Far below the rounding of 16 bits.
NO_NOISE = 1e-9
# Residual over noise that several exposures leave at least, if the noise is right.
LEFT_AT_LEAST = 0.4
LESS = "noise is less than assumed; try a smaller --noise"


@dataclass(frozen=True)
class Result:
    """What became of one picture.

    noise: as used, in [0, 1] units.    residual: as of `Stage.residual`.    remark: what a person
    should know.    steps: network evaluations per picture or window.    found: the verdict of
    phase retrieval.    hidden: a lossy file hides its noise, which is a guess.    unit: as of
    `Picture`; noise and residual are those of the file's values, and judged in its units.
    """

    width: int
    height: int
    seconds: float
    noise: float
    residual: float
    remark: str
    record: Record
    device: str
    dtype: str
    steps: int
    found: str = ""
    hidden: bool = False
    unit: float = 1.0

    @property
    def residual_ratio(self) -> float | None:
        """Residual over noise, or None without noise worth the name."""
        return self.residual / self.noise if self.noise > NO_NOISE else None

    @property
    def verdict(self) -> str:
        """What that ratio says about the assumptions, or nothing.

        Nothing where phase retrieval has judged, by a sharper measure: the two would contradict.
        """
        ratio, noise = self.residual_ratio, self.noise / self.unit
        if ratio is None or self.found:
            return ""
        if self.record["task"] == "hdr":
            # Any stops and any response explain what one exposure recorded.
            several = len(self.record["exposures"]) > 1
            return judge_exposures(ratio, noise, hidden=self.hidden) if several else ""
        return judge_residual(ratio, noise, hidden=self.hidden)

    def facts(self) -> dict[str, Any]:
        """What scripts are told; keys are never renamed."""
        names = ("model", "revision", "method", "preset", "seed")
        ratio = self.residual_ratio
        return {
            "width": self.width,
            "height": self.height,
            **{name: self.record[name] for name in names},
            "steps": self.steps,
            "noise": round(self.noise, 6),
            "device": self.device,
            "dtype": self.dtype,
            "seconds": round(self.seconds, 3),
            "residual": round(self.residual, 6),
            "residual_ratio": None if ratio is None else round(ratio, 4),
            "verdict": self.found or self.verdict,
            "remark": self.remark,
        }


def judge_exposures(ratio: float, sigma: float, *, hidden: bool = False) -> str:
    """What rms residual over sigma says of several exposures: too much, too little, or nothing.

    Seven photographs at two or three of -2, 0, 2 stops, with noise of 1 to 6 of 255, leave 0.5 to
    1.1, as what only one of them shows leaves nothing; where texture passed for noise 0.1 to 0.3;
    with steps of 1.8 1.5 to 5.6, in the reverse order 5 to 113.

    hidden: as of `judge_residual`.
    """
    if is_too_much(ratio, sigma):
        likely = "wrong order, steps (EV) or --response of the exposures, or something moved"
        return f"{TOO_MUCH}: {likely}"
    guessed = hidden or sigma <= SLIGHT / 255
    return "" if guessed or ratio >= LEFT_AT_LEAST else LESS
