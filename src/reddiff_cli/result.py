"""What became of one picture: for the line that people see, and the object that scripts get."""

from dataclasses import dataclass
from typing import Any

from .estimation.verdicts import FAILED, TOO_MUCH, Grounds, judge_exposures, judge_residual
from .planning.jobs import Record

# Far below the rounding of 16 bits.
NO_NOISE = 1e-9


@dataclass(frozen=True)
class Result:
    """What became of one picture.

    noise: as used, in [0, 1] units.    residual: as of `Stage.residual`.    remark: what a person
    should know.    steps: network evaluations per picture or window.    found: the verdict of
    phase retrieval.    grounds: of the noise.    unit: as of `Picture`; noise and residual are
    those of the file's values, and judged in its units.
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
    grounds: Grounds = Grounds()
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
            return judge_exposures(ratio, noise, self.grounds) if several else ""
        return judge_residual(ratio, noise, self.grounds)

    @property
    def doubtful(self) -> bool:
        """True where the result does not explain the data: scripts go on, somebody has to look."""
        return self.found == FAILED or self.verdict.startswith(TOO_MUCH)

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
            "doubtful": self.doubtful,
            "remark": self.remark,
        }
