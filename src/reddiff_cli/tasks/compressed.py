"""Pictures from JPEG files: what they were before they were encoded, as far as it can be told.

A decoder shows one of the many pictures that the encoder turns into a file, and its errors are no
noise: at edges, in blocks, in colours of half the size. The prior chooses a likelier one, from the
coefficients (jpeg.py), before a task looks at it; what else has happened to the picture is hardly
altered by that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from ..pictures.files import Picture
from .encoding import Encoding
from .jpeg import Decoding, make_decoding
from .problem import Stage, solver_of_shared, to_tensor
from .setting import Setting
from .whole import WholePicture


@dataclass
class CompressedPicture(WholePicture):
    """decoding: how y is told from a file's coefficients; None if it is not, or once it is.

    was: what has become of the picture before, for people.
    """

    decoding: Decoding | None = None
    was: str = ""
    _decodes: bool = False

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Keep the result, or what y was before it was encoded."""
        if self._decodes:
            self._take(stage, mu)
        else:
            super().accept(stage, mu)

    def preview(self, stage: Stage, mu: Tensor) -> Picture:
        """The result if the stage ended at mu."""
        if not self._decodes:
            return super().preview(stage, mu)
        self._take(stage, mu)
        return self._shown(self.operator.start(self.y))

    def remark(self) -> str:
        """What was told by coefficients, and what the task has to say about its result."""
        return "; ".join(filter(None, (self.was, super().remark())))

    def decoding_stages(self) -> Iterator[Stage]:
        """The stage that takes the errors of the encoder out of y, if there is one."""
        if self.decoding is None:
            return
        self._decodes = True
        for stage in self.decoding.stages():
            yield replace(stage, shared=self.decoding.setting.solver.evaluations)
        self._decodes, self.decoding = False, None

    def _take(self, stage: Stage, mu: Tensor) -> None:
        if self.decoding is not None:
            self.decoding.accept(stage, mu)
            self.y = self._measurement(to_tensor(self.decoding.finish()))

    def _measurement(self, seen: Tensor) -> Tensor:
        """y of what a file shows, (1, C, H, W) in [-1, 1]."""
        return seen


def find_decoding(
    encoding: Encoding, picture: Picture, setting: Setting, evaluations: int
) -> Decoding | None:
    """How a JPEG is told from its coefficients, in so many network evaluations.

    None where they are not known.
    """
    if encoding.file is None:
        return None
    solver = solver_of_shared(setting.solver, evaluations)
    return make_decoding(picture, encoding.file, replace(setting, solver=solver))
