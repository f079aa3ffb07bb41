"""Phase retrieval: a picture from the magnitudes of its Fourier transform."""

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import PictureError
from ..estimation.verdicts import FAILED
from ..machine.computing import choose_device
from ..pictures.files import Picture, Pixels
from ..planning.jobs import Job
from ..retrieval.diffraction import Diffraction, load_diffraction
from ..retrieval.options import PhaseOptions
from ..retrieval.pipeline import (
    START_EXACT,
    START_NOISY,
    WEIGHT_EXACT,
    WEIGHT_NOISY,
    PhaseResult,
    conclude,
    gather,
    search,
)
from ..retrieval.problem import prepare
from .problem import Problem, Stage, to_pixels
from .setting import Setting

UNEXPLAINED = "no picture explains the data"


def pose(job: Job, options: PhaseOptions, setting: Setting) -> "PhaseRetrieval":
    """A file's measurement as a problem."""
    return PhaseRetrieval(load_diffraction(job.input, options), options, setting, job.input)


class PhaseRetrieval(Problem):
    """One measurement: a search among many starts, the prior on the best, a choice by residual.

    path: of its file, which is named in what is said of it.
    """

    def __init__(
        self,
        measurement: Diffraction,
        options: PhaseOptions,
        setting: Setting,
        path: Path | None = None,
    ) -> None:
        self._options, self._setting, self._path = options, setting, path
        given = setting.solver.noise
        device = choose_device(setting.machine.device)
        noise = None if given is None or isinstance(given, str) else given
        try:
            problem = prepare(measurement, options, noise).to(device)
        except PictureError as error:
            raise PictureError(f"{path}: {error}" if path else str(error), error.kind) from error
        self._problem = replace(problem, check=setting.check)
        self.noise = self._problem.sigma
        self.source = Picture(_display(measurement.amplitude), depth=16)
        self._runs: Tensor | None = None
        self._result: PhaseResult | None = None

    def again(self, setting: Setting) -> "PhaseRetrieval":
        """The same measurement for another solver, with the search that was already done."""
        other = copy(self)
        other._setting, other._result = setting, None
        return other

    def stages(self) -> Iterator[Stage]:
        """The search, and then one stage for all runs that are kept."""
        setting = self._setting
        if self._runs is None:
            problem, self._runs = search(self._problem, self._options, setting.solver.seed)
            self._problem, self.noise = problem, problem.sigma
            for note in problem.notes:
                self._say(note)
        problem, runs = self._problem, self._runs
        yield Stage(
            view=setting.view(),
            operator=problem.operator,
            y=problem.y,
            start=gather(problem, runs),
            s_start=setting.solver.s_start or (START_EXACT if problem.exact else START_NOISY),
            sigma_y=2 * problem.sigma,
            weight=WEIGHT_EXACT if problem.exact else WEIGHT_NOISY,
        )

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Choose among the runs by their residual."""
        if self._runs is None:
            raise ValueError("nothing was searched")
        self._result = conclude(self._problem, self._runs, mu.to(self._runs.device))
        if self._result.verdict == FAILED:
            cure = "see --data, --layout, --support, --starts"
            self._say(f"warning: {UNEXPLAINED}; {cure}")

    def finish(self) -> Picture:
        """The chosen run."""
        return replace(self.source, pixels=to_pixels(self._chosen().x).astype(np.float32))

    def preview(self, stage: Stage, mu: Tensor) -> Picture:
        """The first run as it is now; choosing among them takes longer."""
        return replace(self.source, pixels=to_pixels(mu[:1]).astype(np.float32))

    @property
    def verdict(self) -> str:
        """converged, ambiguous or failed."""
        return self._chosen().verdict

    @property
    def residual(self) -> float:
        """rms of what the chosen run leaves of y; mu, which it stands for, may leave far more."""
        return self._chosen().residual

    def remark(self) -> str:
        """The verdict, and how much more was measured than unknown."""
        height, width = self._problem.operator.support
        rows, columns = self._problem.oversampling
        told = f"{FAILED}, {UNEXPLAINED}" if self.verdict == FAILED else self.verdict
        return f"{told}; support {height}x{width}, oversampling {rows:.2f} x {columns:.2f}"

    def _say(self, note: str) -> None:
        """Say it of the file: of a folder, nobody could tell which of them is meant."""
        warning, mark, told = note.rpartition("warning: ")
        if self._path is not None and str(self._path) not in told:
            note = f"{warning}{mark}{self._path}: {told}"
        self._setting.on_note(note)

    def _chosen(self) -> PhaseResult:
        if self._result is None:
            raise ValueError("the stage has not been solved")
        return self._result


def _display(amplitude: NDArray[np.float32]) -> Pixels:
    """Magnitudes (C, M, N) as a picture (M, N, C): centred, on a logarithmic scale."""
    centred = np.fft.fftshift(amplitude, axes=(1, 2))
    logarithm = np.log1p(centred / max(float(np.median(centred)), 1e-12))
    shown: Pixels = (logarithm / max(float(logarithm.max()), 1e-12)).astype(np.float32)
    return np.ascontiguousarray(shown.transpose(1, 2, 0))
