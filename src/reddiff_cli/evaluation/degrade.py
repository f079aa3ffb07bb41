"""Making measurements: a clean picture and a case -> what was measured, and the problem it poses.

Measurements stay as the mathematics has them, y = A(x) + sigma n in float: neither rounded nor
clipped, except where the operator itself does so.
"""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..formats.jpeg import JpegFile, read_jpeg
from ..kernels.files import Kernels
from ..kernels.tensors import make_kernel
from ..light.response import parse_response
from ..operators import (
    Exposure,
    Identity,
    Inpaint,
    Operator,
    PaperHdr,
    Phase,
    behind,
    compose,
    measure_jpeg,
    rec601,
)
from ..options.damages import RestoreOptions
from ..options.tasks import DeblurOptions, HdrOptions, InpaintOptions, SuperresOptions
from ..pictures.files import Hole, Picture
from ..retrieval.diffraction import Diffraction
from ..retrieval.options import PhaseOptions
from ..solvers.reddiff import SIGMA_SINGLE
from ..tasks import Problem, Setting
from ..tasks.compose import make_part
from ..tasks.deblur import make_blur
from ..tasks.hdr import CLIPPED_WITHIN
from ..tasks.inpaint import Inpainting
from ..tasks.jpeg import Decoding
from ..tasks.kinds import KINDS
from ..tasks.phase import PhaseRetrieval
from ..tasks.problem import to_pixels, to_tensor
from ..tasks.superres import make_downsample
from ..tasks.whole import WholePicture
from .crops import NO_MARGINS, NOWHERE, Margins, crop_of
from .hole_shapes import draw_hole
from .inputs import is_colourless
from .options import Case, CompressOptions, HoleOptions
from .own_masks import own_hole
from .specimen import Specimen

OVERSAMPLING = 2  # of phase: the detector has twice the pixels of the picture on each axis


@dataclass(frozen=True)
class _Made:
    """An operator, its canvas (1, C, H, W), and how its start and measurement are seen."""

    operator: Operator
    canvas: Tensor
    margins: Margins = NO_MARGINS
    known: Tensor | None = None  # (1, 1, h, w), 1 = observed, of y's size

    def crop(self, x: Tensor) -> Tensor:
        return F.pad(x, [-n for n in self.margins])


def degrade(
    picture: Picture,
    case: Case,
    crop: int,
    seed: int,
    mask: Path | None = None,
    on_note: Callable[[str], None] = lambda _: None,
    kernels: Kernels | None = None,
) -> Specimen:
    """Damage the centre crop of a clean picture as a case says; mask: what it is to lose.

    kernels: those that were read before.

    Holes and noise are drawn from `seed` and the pixels of the crop: the same picture is damaged
    in the same way under any name and in any order. PictureError if the picture does not fit.
    """
    options, kernels = case.options, kernels or Kernels()
    where = crop_of(options, (picture.width, picture.height), crop, kernels)
    canvas = to_tensor(picture)[:, :, where.rows, where.columns].clone()
    if isinstance(options, CompressOptions):
        return _compress(canvas, options)
    if isinstance(options, PhaseOptions):
        return _diffract(canvas, options, case.noise, _generator(canvas, seed))
    if isinstance(options, InpaintOptions) and mask:
        made = _holed(canvas, own_hole(picture, canvas, mask, options, where, on_note))
    else:
        made = _make(canvas, case, where.margins, seed, kernels)
    truth, generator = made.crop(made.canvas).clone(), _generator(made.canvas, seed)
    clean = made.operator(made.canvas)
    noise = 2 * case.noise * torch.randn(clean.shape, generator=generator)
    y = clean + (noise if made.known is None else made.known * noise)
    if isinstance(made.operator, Exposure):
        y = y.clamp(-1, 1)  # a sensor's noise is there before its values are clipped
    return Specimen(
        truth=truth,
        operator=made.operator,
        y=y,
        noise=case.noise,
        start=made.operator.start(y),
        pose=_poser(made, case, truth, y),
        crop=made.crop,
        hole=_hole(made.known),
    )


def _generator(x: Tensor, seed: int) -> torch.Generator:
    """Of the pixels and the seed, so that it is never the solver's own, which has the seed."""
    content = x.numpy().tobytes() + str(seed).encode()
    number = int.from_bytes(hashlib.sha256(content).digest()[:7])
    return torch.Generator().manual_seed(number)


def _make(canvas: Tensor, case: Case, margins: Margins, seed: int, kernels: Kernels) -> _Made:
    """The operator of a case and the part of a picture that it acts on."""
    options = case.options
    match options:
        case HoleOptions():
            number = _generator(canvas, seed).initial_seed()
            random = np.random.default_rng(number)
            hole = draw_hole(options, (canvas.shape[2], canvas.shape[3]), random)
            return _holed(canvas, hole)
        case SuperresOptions():
            reduction = make_downsample(options.scale, options.filter, kernels)
            return _Made(behind(parse_response(options.response), reduction), canvas)
        case DeblurOptions():
            kernel = make_kernel(options.kernel, kernels)
            response = parse_response(options.response)
            operator, _ = make_blur(NOWHERE, kernel, options.boundary, canvas, response)
            return _Made(operator, canvas, margins)
        case HdrOptions():
            return _Made(_make_hdr(options, case.noise), canvas)
        case RestoreOptions():
            return _make_chain(canvas, options, margins, kernels)
    if case.task == "colorize":
        if canvas.shape[1] != 3:
            raise is_colourless()
        return _Made(rec601(), canvas)
    return _Made(Identity(), canvas)


def _holed(canvas: Tensor, hole: Hole) -> _Made:
    known = torch.from_numpy(~hole)[None, None].float()
    return _Made(Inpaint(known), canvas, known=known)


def _make_hdr(options: HdrOptions, noise: float) -> Operator:
    tolerance = max(1.5 / 255, CLIPPED_WITHIN * noise)
    if options.operator == "paper":
        return PaperHdr(tolerance=min(1.0, 2 * tolerance))
    return Exposure(options.stops, parse_response(options.response), tolerance)


def _make_chain(
    canvas: Tensor, options: RestoreOptions, margins: Margins, kernels: Kernels
) -> _Made:
    nothing = Picture(np.zeros((1, 1, 1), dtype=np.float32))
    plain = [damage for damage in options.parts if damage.kind != "mask"]
    parts = tuple(make_part(damage, nothing, kernels) for damage in plain)
    known = None
    if len(plain) < len(options.parts):  # the mask, which comes last
        size = compose(parts)(canvas).shape[2:] if parts else canvas.shape[2:]
        parts = (*parts, make_part(options.parts[-1], Picture(np.zeros((*size, 1), np.float32))))
        known = getattr(parts[-1], "known", None)
    return _Made(compose(parts), canvas, margins, known)


def _poser(made: _Made, case: Case, truth: Tensor, y: Tensor) -> Callable[[Setting], Problem]:
    """The problem that a solver gets: the tasks' own, with y in place of a file."""
    source = Picture(to_pixels(truth))

    def pose(setting: Setting) -> Problem:
        noise = setting.noise(case.task, NOWHERE, y, made.known, blurred=case.options.blurred)
        white = setting.white(made.operator, y, noise, made.known)
        if isinstance(case.options, HoleOptions | InpaintOptions):
            hole = _hole(made.known)
            if hole is None:
                raise ValueError("no hole")
            pixels = ((y[0] + 1) / 2).permute(1, 2, 0).contiguous().numpy()
            measured = replace(source, pixels=pixels)
            return Inpainting(measured, hole, noise, setting, denoise=case.noise > 0, white=white)
        kind = KINDS.get(type(case.options), WholePicture)
        about = case.task, source, made.operator, y, noise, setting, made.crop
        return kind(*about, sigma_least=SIGMA_SINGLE, white=white)

    return pose


def _hole(known: Tensor | None) -> Hole | None:
    return None if known is None else np.asarray(known[0, 0].numpy() == 0)


def _compress(truth: Tensor, options: CompressOptions) -> Specimen:
    """Through an encoder, whose file is read again."""
    eight = np.rint(to_pixels(truth) * 255).astype(np.uint8)
    with tempfile.TemporaryDirectory(prefix="reddiff-") as folder:
        path = Path(folder) / "measurement.jpg"
        image = Image.fromarray(eight[:, :, 0] if eight.shape[2] == 1 else eight)
        image.save(path, quality=options.quality)
        file: JpegFile = read_jpeg(path)
    operator, y = measure_jpeg(file.components, file.colour)
    height, width = truth.shape[2:]
    source = Picture(to_pixels(truth))

    def pose(setting: Setting) -> Problem:
        return Decoding("jpeg", source, operator, y, 0.0, setting, file=file)

    def crop(x: Tensor) -> Tensor:
        return x[:, :, :height, :width]

    return Specimen(truth, operator, y, 0.0, operator.start(y), pose, crop)


class _PhasePoser:
    """Problems of one measurement; what the first of them searched, the others take over."""

    def __init__(self, measurement: Diffraction, options: PhaseOptions) -> None:
        self._measurement, self._options = measurement, options
        self._last: PhaseRetrieval | None = None

    def __call__(self, setting: Setting) -> Problem:
        if self._last is None:
            self._last = PhaseRetrieval(self._measurement, self._options, setting)
        else:
            self._last = self._last.again(setting)
        return self._last


def _diffract(
    truth: Tensor, options: PhaseOptions, noise: float, generator: torch.Generator
) -> Specimen:
    """Magnitudes at 2x oversampling; the size of the object and the scale are known."""
    height, width = truth.shape[2], truth.shape[3]
    detector = (OVERSAMPLING * height, OVERSAMPLING * width)
    operator = Phase(detector, (height, width), torch.ones(detector))
    clean = operator(truth)
    y = (clean + noise * torch.randn(clean.shape, generator=generator)).clamp(min=0)
    known = np.ones(detector, dtype=bool)
    measurement = Diffraction(y[0].numpy(), known, "corner", False, ())
    poser = _PhasePoser(measurement, replace(options, support=(height, width)))
    return Specimen(truth, operator, y, noise, operator.start(y), poser, turned=True)
