"""Which problems of one stage on one canvas are more than that."""

from ..task_options import DenoiseOptions, HdrOptions, RestoreOptions
from .compose import Composition
from .denoise import Denoising
from .hdr import Highlights
from .whole import WholePicture

KINDS: dict[type, type[WholePicture]] = {
    DenoiseOptions: Denoising,
    HdrOptions: Highlights,
    RestoreOptions: Composition,
}
