"""One evaluation from its inputs to its table: plan, measure, draw, and say how it went."""

from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..checkpoints.cards import STARTS, Card
from ..checkpoints.models import find_model
from ..errors import ExitCode, PictureError
from ..files import write_whole
from ..kernels.files import Kernels
from ..options.common import MachineOptions, ReportOptions
from ..options.tasks import InpaintOptions
from ..planning.outputs import check_place
from ..planning.record import plain
from ..planning.shards import Shard
from ..reporting.progress import FetchReporter
from ..reporting.report import one_line, print_event, print_line
from .inputs import EvalInputs
from .ledger import FAILED, OK, Ledger, Means, Row, contents_of, slug, summarise
from .options import NOT_IN_SUITE, START, Case, EvalOptions
from .plot import line_plot
from .report import EvalReporter
from .sheet import Panel, contact_sheet

if TYPE_CHECKING:
    from PIL import Image

    from .evaluate import Evaluator

# How it is measured: rows of when it was taken on [-1, 1] are not mixed with those of now.
SSIM = "of values from 0 to 1"
# What is counted: rows of when those of all stages were added are not mixed with those of now.
EVALUATIONS = "of a picture or window"
Kid = dict[tuple[str, str], float]
# What a card says about how its prior is used.
OF_A_CARD = (
    *("starts", "prior_weights", "chain_starts", *STARTS, "wide_hole", "wide_noise"),
    *("window", "tile", "smallest", "turns", "configuration"),
)


@dataclass(frozen=True)
class EvalRun:
    """What is compared, on which pictures, and where it goes; touches nothing by itself."""

    options: EvalOptions
    inputs: list[Path]
    model: str
    machine: MachineOptions
    folder: Path
    report: ReportOptions
    shard: Shard = Shard()
    offline: bool = False
    recursive: bool = False
    limit: int | None = None
    overwrite: bool = False
    kernels: Kernels = field(default_factory=Kernels)

    def material(self) -> EvalInputs:
        """The pictures, and the masks if the user gives some."""
        given = (case.options for case in self.options.cases)
        holes = next((options for options in given if isinstance(options, InpaintOptions)), None)
        return EvalInputs(self.inputs, self.recursive, self.folder, holes, self.kernels)

    def pictures(self, material: EvalInputs) -> list[Path]:
        """Those of this shard, among the first `limit`."""
        return self.shard.take(material.pictures(self.limit))

    def show_plan(self) -> ExitCode:
        """Print what would be measured; torch is not imported, and nothing is fetched."""
        self._check_kernels()
        card = find_model(self.model, offline=True)
        options, material, failed = self.options.fit(card), self.material(), False
        pictures = self.pictures(material)
        self._ledger(card)  # which rows of other settings refuse
        for case in options.cases:
            for path in pictures:
                methods, error = [START, *options.labels], None
                try:
                    material.check(case, path, options.crop)
                except PictureError as wrong:
                    failed, error = True, {"type": wrong.kind, "message": str(wrong)}
                if self.report.json:
                    told = {"case": case.name, "input": str(path), "methods": methods}
                    print_event(
                        {"event": "plan", **told, "output": str(self.folder), "error": error}
                    )
                else:
                    shown = f"fail: {error['message']}" if error else ", ".join(methods)
                    print_line(one_line(f"{path}: {case.name}: {shown}"))
        return ExitCode.PICTURE_FAILED if failed else ExitCode.OK

    def evaluate(self) -> ExitCode:
        """Measure every row that is not there yet; one failed picture never ends the run."""
        with EvalReporter(self.report) as reporter:
            self._check_kernels()
            with FetchReporter(self.report.quiet) as watcher:
                card = find_model(self.model, offline=self.offline, watcher=watcher)
            fitted = replace(self, options=self.options.fit(card))
            means, kid = fitted._evaluate(card, reporter)
        return reporter.finish(means, len(self.options.cases) > 1, kid)

    def _check_kernels(self) -> None:
        """UsageError for kernel files that hold none; all pictures would fail."""
        for case in self.options.cases:
            for path in case.options.kernel_files:
                self.kernels.of_file(path)

    def _evaluate(self, card: Card, reporter: EvalReporter) -> tuple[list[Means], Kid]:
        material, cases = self.material(), self.options.cases
        pictures = self.pictures(material)
        ledger = self._ledger(card)
        reporter.expect(len(pictures) * len(cases), 1 + len(self.options.methods))
        if self.options.suite:
            reporter.say(NOT_IN_SUITE)
        evaluator, absent = self._evaluator(card, ledger, reporter, material)
        keep_all = self.options.save_pictures or not absent["kid"]
        ledger.forget_failures(cases, pictures)
        with ledger:
            rows = self._measure(evaluator, pictures, keep_all)
        before = ledger.of_other_methods(rows)
        labels = dict.fromkeys([*(row["method"] for row in before), *self.options.labels])
        means = summarise([*rows, *before], cases, labels)
        kid = {} if absent["kid"] else self._kid(evaluator, rows)
        ledger.facts = {"missing": {name: why for name, why in absent.items() if why}}
        ledger.means = [
            entry.facts() | {"kid": kid.get((entry.case, entry.method))} for entry in means
        ]
        ledger.write()
        self._draw(evaluator, rows, means, ledger.part)
        for name, why in absent.items():
            if why:
                reporter.note(f"{name.upper()}: not measured: {why}")
        return means, kid

    def _ledger(self, card: Card) -> Ledger:
        """The rows that are there; UsageError if they are of other settings.

        PictureError where none can be written.
        """
        settings = {case.name: self._settings(case, card) for case in self.options.cases}
        ledger = Ledger(self.folder, settings, self.shard, overwrite=self.overwrite)
        check_place(ledger.path)
        return ledger

    def _settings(self, case: Case, card: Card) -> dict[str, Any]:
        """Everything that decides the rows of a case but the method; else they are not mixed."""
        options = self.options
        damage = {name: plain(value) for name, value in case.options.settings().items()}
        return {
            "program": f"reddiff {__version__}",
            "ssim": SSIM,
            "evaluations": EVALUATIONS,
            "task": case.task,
            **damage,
            "noise": case.noise,
            "assumed_noise": options.assume,
            "crop": options.crop,
            "seed": options.seed,
            "start": options.start,
            "model": card.name,
            "revision": card.revision,
            "card": {key: plain(getattr(card, key)) for key in OF_A_CARD},
        }

    def _evaluator(
        self, card: Card, ledger: Ledger, reporter: EvalReporter, material: EvalInputs
    ) -> tuple["Evaluator", dict[str, str]]:
        from .evaluate import Evaluator
        from .perceptual import KID, LPIPS, load_lpips, missing

        absent = {name: missing(name) for name in (LPIPS, KID)}
        lpips = None if absent[LPIPS] else load_lpips()
        folder, options, machine = self.folder, self.options, self.machine
        made = Evaluator(card, options, machine, folder, ledger, reporter, material, lpips)
        reporter.note(f"model {card.name} ({card.revision}) on {made.device}")
        return made, absent

    def _measure(self, evaluator: "Evaluator", pictures: list[Path], keep_all: bool) -> list[Row]:
        from .evaluate import SHEET_ROWS

        rows: list[Row] = []
        for case in self.options.cases:
            for number, path in enumerate(pictures):
                own = evaluator.measure(case, path, keep=keep_all or number < SHEET_ROWS)
                rows += own
                failed = any(row["status"] == FAILED for row in own)
                if failed and self.report.fail_fast:
                    return rows
                if own and not failed:
                    evaluator.reporter.picture(case.name, path.name, own)
        return rows

    def _draw(
        self, evaluator: "Evaluator", rows: list[Row], means: list[Means], part: str
    ) -> None:
        """The contact sheet, and the curve; one for each case where there are several."""
        for case in self.options.cases:
            end = f".{slug(case.name)}" if len(self.options.cases) > 1 else ""
            sheet = self._sheet(evaluator, case, [r for r in rows if r["case"] == case.name])
            if sheet is not None:
                _write(sheet, self.folder / f"contact{end}{part}.png")
            lines = curves([entry for entry in means if entry.case == case.name])
            if self.options.curve and lines:
                title, x = f"{case.name}, noise {case.noise:g}", "network evaluations"
                plot = line_plot(lines, title, x, "PSNR in dB")
                _write(plot, self.folder / f"curve{end}{part}.png")

    def _sheet(self, evaluator: "Evaluator", case: Case, rows: list[Row]) -> "Image.Image | None":
        from .evaluate import SHEET_ROWS

        titles = ("clean", "degraded", START, *self.options.labels)
        lines: list[list[Panel]] = []
        by_picture: dict[str, dict[str, Row]] = {}
        for row in rows:
            by_picture.setdefault(contents_of(row), {})[row["method"]] = row
        good = dict.fromkeys(contents_of(row) for row in rows if row["status"] == OK)
        for digest in list(good)[:SHEET_ROWS]:
            own = by_picture[digest]
            path = Path(next(iter(own.values()))["input"])
            shot = evaluator.shot(case, path, digest)
            line = [Panel(shot.file("clean"), path.name), Panel(shot.file("degraded"))]
            line += [_panel(shot.file(label), own.get(label)) for label in titles[2:]]
            lines.append(line)
        return contact_sheet(titles, lines) if lines else None

    def _kid(self, evaluator: "Evaluator", rows: list[Row]) -> Kid:
        """KID of every method over the pictures that were kept, where there are enough."""
        import torch

        from .evaluate import load_tensor
        from .perceptual import KID_PICTURES, kid, load_features

        extract = load_features()
        found = {}
        for case in self.options.cases:
            for label in (START, *self.options.labels):
                own = [r for r in rows if (r["case"], r["method"]) == (case.name, label)]
                good = [row for row in own if row["status"] == OK]
                if len(good) < KID_PICTURES:
                    continue
                shots = [evaluator.shot(case, Path(r["input"]), contents_of(r)) for r in good]
                restored, clean = (
                    torch.cat([extract(load_tensor(shot.file(what))) for shot in shots])
                    for what in (label, "clean")
                )
                found[case.name, label] = round(kid(restored, clean), 6)
        return found


def curves(means: list[Means]) -> dict[str, list[tuple[float, float]]]:
    """For each method its points (evaluations, mean PSNR); the start has no evaluations."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for entry in means:
        value = entry.values["psnr"]
        if entry.method != START and value is not None:
            name = entry.method.rpartition("-")[0]
            lines.setdefault(name, []).append((float(entry.evaluations), value[0]))
    return lines


def _panel(path: Path, row: Row | None) -> Panel:
    if row is None:
        return Panel(None)
    if row["status"] != OK:
        return Panel(None, row["error"]["message"])
    return Panel(path, f"{row['psnr']:.2f} dB")


def _write(image: "Image.Image", path: Path) -> None:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    write_whole(path, buffer.getvalue())
