"""What a plan tells of files that a run would read: kernels, masks and measurements.

Headers alone do not tell of a mask that is empty, or of a kernel that is none: a folder would pass
the plan, and fail hours later.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import PictureError, UsageError
from ..kernels.files import Kernels
from ..options.tasks import InpaintOptions, TaskOptions
from ..pictures.files import load_picture, size_of
from ..pictures.masks import NothingToFill, check_mask, load_hole
from ..retrieval.diffraction import load_diffraction
from ..retrieval.options import PhaseOptions
from .jobs import Job

# What a file that all pictures share was found to be wrong in, if anything.
Found = NothingToFill | PictureError | UsageError | None


class Rehearsal:
    """Jobs of one plan; a file that they share is read once."""

    def __init__(self, options: TaskOptions) -> None:
        self._options = options
        self._found: dict[Path, Found] = {}
        self._shaded: set[Path] = set()  # masks that may be copies of their pictures
        self._kernels = Kernels()

    def of(self, job: Job) -> Job:
        """The job as it would end if its files decide that: failed, or skipped.

        By a kernel file that holds none all jobs fail, as the run does not begin.
        """
        try:
            for path in self._options.kernel_files:
                self._once(path, self._kernels.of_file)
            if job.action == "restore":
                self._check(job)
        except NothingToFill as nothing:
            return replace(job, action="skip", reason=str(nothing))
        except (PictureError, UsageError) as error:
            return job.failed(error)
        return job

    def _check(self, job: Job) -> None:
        options = self._options
        if isinstance(options, PhaseOptions):
            load_diffraction(job.input, options)
        if isinstance(options, InpaintOptions):
            if job.mask is None:  # the marks are in the picture
                self._look_for_marks(job.input, options)
            else:
                self._check_mask(job.input, job.mask, options)
        elif mask := options.shared_mask:
            with suppress(NothingToFill):  # the other damages are still to be undone
                self._check_mask(job.input, mask, InpaintOptions())
        if options.laid:
            width, height = size_of(job.input)
            self._kernels.check(job.input, options.laid, height, width)

    def _check_mask(self, picture: Path, mask: Path, options: InpaintOptions) -> None:
        def check(path: Path) -> None:
            if check_mask(path, options).shaded:
                self._shaded.add(path)

        self._once(mask, check)
        if mask in self._shaded:
            load_hole(load_picture(picture), mask, options)

    def _look_for_marks(self, path: Path, options: InpaintOptions) -> None:
        try:
            picture = load_picture(path)
            load_hole(picture, None, options, smeared=picture.smoothed)
        except UsageError as error:  # as the run says it
            raise UsageError(f"{path}: {error}") from error

    def _once(self, path: Path, check: Callable[[Path], object]) -> None:
        if path not in self._found:
            self._found[path] = None
            try:
                check(path)
            except (NothingToFill, PictureError, UsageError) as error:
                self._found[path] = error
        if found := self._found[path]:
            raise found
