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

from ..damages import RestoreOptions
from ..errors import PictureError
from ..formats.jpeg import JpegFile, read_jpeg
from ..kernels import make_kernel
from ..operators import (
    Exposure,
    Identity,
    Inpaint,
    Operator,
    PaperHdr,
    Phase,
    behind,
    compose,
    enlargement,
    measure_jpeg,
    rec601,
)
from ..pictures import Hole, Picture, size_of
from ..response import parse_response
from ..retrieval.diffraction import Diffraction
from ..retrieval.options import PhaseOptions
from ..solvers.reddiff import SIGMA_SINGLE
from ..task_options import DeblurOptions, HdrOptions, InpaintOptions, SuperresOptions
from ..tasks import Problem, Setting
from ..tasks.compose import Margins, canvas_margins, make_part
from ..tasks.deblur import make_blur
from ..tasks.hdr import CLIPPED_WITHIN
from ..tasks.inpaint import Inpainting
from ..tasks.jpeg import Decoding
from ..tasks.kinds import KINDS
from ..tasks.phase import PhaseRetrieval
from ..tasks.problem import to_pixels, to_tensor
from ..tasks.superres import make_downsample
from ..tasks.whole import WholePicture
from .hole_shapes import draw_hole
from .options import Case, CompressOptions, HoleOptions
from .own_masks import own_hole
from .specimen import NO_MARGINS, Specimen, cut

OVERSAMPLING = 2  # of phase: the detector has twice the pixels of the picture on each axis
# What messages name in place of a file that nobody has.
NOWHERE = Path("the crop")


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
) -> Specimen:
    """Damage the centre crop of a clean picture as a case says; mask: what it is to lose.

    Holes and noise are drawn from `seed` and the pixels of the crop: the same picture is damaged
    in the same way under any name and in any order. PictureError if the picture does not fit.
    """
    x = to_tensor(picture)
    options = case.options
    if isinstance(options, CompressOptions):
        return _compress(cut(x, crop), options)
    if isinstance(options, PhaseOptions):
        truth = cut(x, crop)
        return _diffract(truth, options, case.noise, _generator(truth, seed))
    if isinstance(options, InpaintOptions) and mask:
        canvas = cut(x, crop)
        made = _holed(canvas, own_hole(picture, canvas, mask, options, crop, on_note))
    else:
        made = _make(x, case, crop, seed)
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


def _make(x: Tensor, case: Case, crop: int, seed: int) -> _Made:
    """The operator of a case and the part of a picture that it acts on."""
    options = case.options
    match options:
        case HoleOptions():
            canvas = cut(x, crop)
            number = _generator(canvas, seed).initial_seed()
            random = np.random.default_rng(number)
            hole = draw_hole(options, (canvas.shape[2], canvas.shape[3]), random)
            return _holed(canvas, hole)
        case SuperresOptions():
            reduction = make_downsample(options.scale, options.filter)
            operator = behind(parse_response(options.response), reduction)
            return _Made(operator, cut(x, crop, options.scale))
        case DeblurOptions():
            return _make_blur(x, options, crop)
        case HdrOptions():
            return _Made(_make_hdr(options, case.noise), cut(x, crop))
        case RestoreOptions():
            return _make_chain(x, options, crop)
    if case.task == "colorize":
        if x.shape[1] != 3:
            raise PictureError("picture is grey; colorize is measured on colours", "Colour")
        return _Made(rec601(), cut(x, crop))
    return _Made(Identity(), cut(x, crop))


def _holed(canvas: Tensor, hole: Hole) -> _Made:
    known = torch.from_numpy(~hole)[None, None].float()
    return _Made(Inpaint(known), canvas, known=known)


def _make_blur(x: Tensor, options: DeblurOptions, crop: int) -> _Made:
    kernel, response = make_kernel(options.kernel), parse_response(options.response)
    operator, blur = make_blur(NOWHERE, kernel, options.boundary, x, response)
    if blur is None:
        canvas = cut(x, crop)
        operator, _ = make_blur(NOWHERE, kernel, options.boundary, canvas, response)
        return _Made(operator, canvas)
    (top, bottom), (left, right) = blur.margins
    margins = (left, right, top, bottom)
    return _Made(operator, cut(x, crop, margins=margins), margins)


def _make_hdr(options: HdrOptions, noise: float) -> Operator:
    tolerance = max(1.5 / 255, CLIPPED_WITHIN * noise)
    if options.operator == "paper":
        return PaperHdr(tolerance=min(1.0, 2 * tolerance))
    return Exposure(options.stops, parse_response(options.response), tolerance)


def _make_chain(x: Tensor, options: RestoreOptions, crop: int) -> _Made:
    nothing = Picture(np.zeros((1, 1, 1), dtype=np.float32))
    plain = [damage for damage in options.parts if damage.kind != "mask"]
    parts = tuple(make_part(damage, nothing) for damage in plain)
    margins = canvas_margins(parts)
    canvas = cut(x, crop, enlargement(compose(parts)) if parts else 1, margins)
    known = None
    if len(plain) < len(options.parts):  # the mask, which comes last
        size = compose(parts)(canvas).shape[2:] if parts else canvas.shape[2:]
        _check_mask(options, size[1], size[0])
        parts = (*parts, make_part(options.parts[-1], Picture(np.zeros((*size, 1), np.float32))))
        known = getattr(parts[-1], "known", None)
    return _Made(compose(parts), canvas, margins, known)


def _check_mask(options: RestoreOptions, width: int, height: int) -> None:
    """PictureError for a mask that is not as large as what the other damages leave of the crop."""
    mask = options.shared_mask
    if mask and (size := size_of(mask)) != (width, height):
        told = f"mask is {size[0]}x{size[1]}, the damaged crop is {width}x{height}"
        raise PictureError(
            f"{mask}: {told}; make them equal, by --crop or another mask", "MaskSize"
        )


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
