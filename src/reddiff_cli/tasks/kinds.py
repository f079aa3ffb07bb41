"""Which problems of one stage on one canvas are more than that."""

from ..options.damages import RestoreOptions
from ..options.tasks import DeblurOptions, DenoiseOptions, HdrOptions, SuperresOptions
from .compose import Composition
from .degraded import DegradedPicture
from .denoise import Denoising
from .hdr import Highlights
from .whole import WholePicture

KINDS: dict[type, type[WholePicture]] = {
    DeblurOptions: DegradedPicture,
    DenoiseOptions: Denoising,
    HdrOptions: Highlights,
    RestoreOptions: Composition,
    SuperresOptions: DegradedPicture,
}
