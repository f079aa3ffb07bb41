"""Evaluation: damage clean pictures, restore them by several methods, measure what is written.

Every method gets the same network, measurement, operator and generator seed.
"""

import time
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from torch import Tensor

from ..alignment import align
from ..checkpoints.cards import Card
from ..errors import PictureError, ReddiffError, UsageError
from ..files import write_whole
from ..machine.memory import forget_peak, is_out_of_memory, peak_memory
from ..methods import evaluations
from ..metrics import psnr, ssim
from ..options.common import MachineOptions, OutputOptions, SolverOptions
from ..pictures.files import Picture, Pixels, load_picture, save_picture
from ..planning.jobs import file_digest
from ..restore import Restorer
from ..tasks import Setting, solver_of
from ..tasks.problem import to_pixels, to_tensor
from .degrade import degrade
from .inputs import EvalInputs, naming
from .ledger import FAILED, OK, REFUSED, Ledger, Row, contents_of, slug
from .options import START, Case, EvalOptions, Method
from .perceptual import Distance
from .report import EvalReporter
from .specimen import Specimen

# Pictures of the contact sheet.
SHEET_ROWS = 8
# PSNR of equal pictures, which JSON could not hold as infinity.
BEST = 100.0


@dataclass(frozen=True)
class Shot:
    """A picture and where what is made of it lies.    digest: of it, and of its mask if any."""

    path: Path
    digest: str
    folder: Path
    mask: Path | None = None

    def file(self, what: str, suffix: str = ".png") -> Path:
        """The file of the clean picture, the degraded one, or a method's."""
        return self.folder / f"{self.path.stem}-{self.digest[:6]}.{what}{suffix}"


class Evaluator:
    """Rows for pictures; everything that stays the same from one to the next."""

    def __init__(
        self,
        card: Card,
        options: EvalOptions,
        machine: MachineOptions,
        folder: Path,
        ledger: Ledger,
        reporter: EvalReporter,
        inputs: EvalInputs,
        lpips: Distance | None = None,
    ) -> None:
        self.card, self.options, self.machine = card, options, machine
        self.folder, self.ledger, self.reporter, self.lpips = folder, ledger, reporter, lpips
        self.inputs = inputs
        self._seen: dict[tuple[str, str], Path] = {}  # what was measured, by case and contents
        first = options.cases[0].options
        # Alone, as seconds and memory of one picture are measured.
        self._restorer = Restorer(
            card, SolverOptions(), machine, first, OutputOptions(), together=False
        )
        self.device = self._restorer.device

    def shot(self, case: Case, path: Path, digest: str) -> Shot:
        """Names of the files of a picture in a case."""
        return Shot(path, digest, self.folder / "pictures" / slug(case.name))

    def measure(self, case: Case, path: Path, *, keep: bool) -> list[Row]:
        """All rows of one picture; keep: write its pictures. A failure is a row as well.

        Nothing for a copy of one that was measured: it would count twice.
        """
        self.ledger.forget_failure(case.name, path)
        about = self._about(case, path)
        try:
            about["input_sha256"] = self.inputs.digest(path)
            if mask := self.inputs.mask_of(path):
                about |= {"mask": str(mask), "mask_sha256": file_digest(mask)}
        except PictureError as error:
            return [self._fail(about, error)]
        digest = contents_of(about)
        first = self._seen.setdefault((case.name, digest), path)
        if first != path:
            self.reporter.twin(case.name, path, first)
            return []
        shot = replace(self.shot(case, path, digest), mask=mask)
        specimen = None
        rows = []
        for method in (None, *self.options.methods):
            label = START if method is None else method.label
            row = self.ledger.find(case.name, digest, label)
            if row is not None and (not keep or row["status"] != OK or shot.file(label).is_file()):
                rows.append(row)
                self.reporter.row(row, kept=True)
                continue
            try:
                specimen = specimen or self._degrade(case, shot, keep)
                row = self._measure_one(case, shot, specimen, method, keep, about)
            except PictureError as error:
                return [self._fail(about, error)]
            except (ReddiffError, BrokenPipeError):
                raise  # concerns all pictures
            except Exception as error:  # whatever a picture does to a library, others go on
                return [self._fail(about, _unforeseen(path, error))]
            rows.append(row)
            self.ledger.add(row)
            self.reporter.row(row)
        return rows

    def _degrade(self, case: Case, shot: Shot, keep: bool) -> Specimen:
        seed, crop, kernels = self.options.seed, self.options.crop, self.inputs.kernels
        try:
            picture = load_picture(shot.path)
            note = self.reporter.note
            specimen = degrade(picture, case, crop, seed, shot.mask, note, kernels)
        except PictureError as error:
            raise naming(shot.path, error) from error
        if keep:
            _save(eight_bits(to_pixels(specimen.truth)), shot.file("clean"))
            _save(specimen.shown(), shot.file("degraded"))
        if self.options.save_pictures:
            buffer = BytesIO()
            np.save(buffer, specimen.y.numpy())
            write_whole(shot.file("measurement", ".npy"), buffer.getvalue())
            if specimen.hole is not None:
                _save(specimen.hole[:, :, None].astype(np.float32), shot.file("hole"))
        return specimen

    def _measure_one(
        self,
        case: Case,
        shot: Shot,
        specimen: Specimen,
        method: Method | None,
        keep: bool,
        about: Row,
    ) -> Row:
        label = START if method is None else method.label
        self.reporter.begin(case.name, shot.path.name, label)
        row = about | {"method": label}
        if method is None:
            pixels, facts = _start(specimen), _start_facts(specimen)
        else:
            try:
                pixels, facts = self._restore(case, specimen, method)
            except UsageError as error:
                if self.options.only:
                    raise
                return row | _refused(REFUSED, error)
        pixels = eight_bits(pixels)
        if specimen.turned and method is not None:
            pixels = to_pixels(align(_tensor(pixels), specimen.truth))
        if keep:
            _save(pixels, shot.file(label))
        return row | {"status": OK} | facts | self._quality(pixels, specimen)

    def _restore(
        self, case: Case, specimen: Specimen, method: Method
    ) -> tuple[Pixels, dict[str, object]]:
        """Pixels as a method restores them, and what that took."""
        told = case.noise if self.options.assume is None else self.options.assume
        noise = None if case.task == "jpeg" else told
        solver = replace(method.solver, noise=noise, seed=self.options.seed)
        restorer = self._restorer.like(solver, case.options)
        problem = specimen.pose(Setting(self.card, solver, self.reporter.note, self.machine))
        evaluations(solver, restorer.denoiser, self.card)  # refused before all work
        used, seconds, residual = 0, 0.0, 0.0
        forget_peak(self.device)
        for stage in problem.stages():
            began = time.monotonic()
            mu, residual = restorer.solve(stage, on_note=self.reporter.note)
            if not stage.shared:  # as a start that costs the same for every method
                seconds += time.monotonic() - began
                here = solver_of(stage, solver)
                used = max(used, evaluations(here, restorer.denoiser, self.card))
            problem.accept(stage, mu)
        self._restorer = restorer  # it may have gone on in fp32, and the next need not find out
        memory, kind = peak_memory(self.device)
        facts: dict[str, object] = {
            "evaluations": used,
            "assumed_noise": round(problem.noise, 6),
            "residual": round(residual, 6),
            "residual_ratio": _ratio(residual, specimen.noise),
            "seconds": round(seconds, 3),
            "peak_memory_mb": memory,
            "peak_memory_of": kind,
            "dtype": str(restorer.dtype).removeprefix("torch."),
        }
        return problem.finish().pixels, facts

    def _quality(self, pixels: Pixels, specimen: Specimen) -> dict[str, object]:
        x, truth = _tensor(pixels), specimen.truth
        distance = None if self.lpips is None else self.lpips(x, truth)
        return {
            "psnr": round(min(float(psnr(x, truth)), BEST), 4),
            "ssim": round(float(ssim(x, truth)), 5),
            "lpips": None if distance is None else round(distance, 5),
            "width": int(x.shape[3]),
            "height": int(x.shape[2]),
        }

    def _about(self, case: Case, path: Path) -> Row:
        """What every row holds."""
        about = {"case": case.name, "task": case.task, "input": str(path), "input_sha256": ""}
        where = {"noise": case.noise, "seed": self.options.seed, "device": str(self.device)}
        model = {"model": self.card.name, "revision": self.card.revision}
        return {**about, "method": "", **where, **model}

    def _fail(self, about: Row, error: PictureError) -> Row:
        row = about | _refused(FAILED, error)
        self.ledger.add(row)
        self.reporter.row(row)
        return row


def _refused(status: str, error: ReddiffError) -> Row:
    return {"status": status, "error": {"type": error.kind, "message": str(error)}}


def _unforeseen(path: Path, error: Exception) -> PictureError:
    if is_out_of_memory(error):
        return PictureError(f"{path}: out of memory; give a smaller --crop", "OutOfMemory")
    message = f"{path}: {type(error).__name__}: {error}"
    return PictureError(message, "Unforeseen").with_traceback(error.__traceback__)


def eight_bits(pixels: Pixels) -> Pixels:
    """The values that an 8-bit file would hold, in [0, 1]."""
    values: Pixels = (np.rint(np.clip(pixels, 0, 1) * 255) / 255).astype(np.float32)
    return values


def load_tensor(path: Path) -> Tensor:
    """A picture file as (1, C, H, W) in [-1, 1]."""
    return _tensor(load_picture(path).pixels)


def _start(specimen: Specimen) -> Pixels:
    """A.start(y), cropped. The channels of phase face different ways: each is turned alone."""
    start = specimen.crop(specimen.start)
    if specimen.turned:
        channels = align(start.transpose(0, 1), specimen.truth.transpose(0, 1))
        start = channels.transpose(0, 1)
    return to_pixels(start)


def _start_facts(specimen: Specimen) -> dict[str, object]:
    residual = float(specimen.operator.residual(specimen.start, specimen.y).max()) / 2
    nothing = ("assumed_noise", "seconds", "peak_memory_mb", "peak_memory_of", "dtype")
    return {
        "evaluations": 0,
        "residual": round(residual, 6),
        "residual_ratio": _ratio(residual, specimen.noise),
        **dict.fromkeys(nothing),
    }


def _ratio(residual: float, noise: float) -> float | None:
    return round(residual / noise, 4) if noise else None


def _tensor(pixels: Pixels) -> Tensor:
    return to_tensor(Picture(pixels))


def _save(pixels: Pixels, path: Path) -> None:
    clipped: Pixels = np.clip(pixels, 0, 1).astype(np.float32)
    save_picture(Picture(clipped), path, None)
