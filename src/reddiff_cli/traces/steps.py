"""Quantisation steps of a JPEG encoder, told from what was decoded and rounded to 8 bits.

Each coefficient of a block still is a multiple of its step then, to about half a level; of which
step, those of one frequency tell together (Fan and de Queiroz 2003, IEEE Trans. Image Processing
12, 230). What a frequency does not tell is taken from the tables of ITU-T T.81, annex K: as
libjpeg scales them if one of its qualities explains the others, else as the others are of them.
"""

import math
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import torch
from PIL import Image
from torch import Tensor

# Standard deviation of a coefficient after rounding of three channels to 8 bits; of the mean of a
# smooth block, all over which errors are the same; and the share of those that something else has
# altered.
ROUNDING, OF_MEANS, ODD = 0.45, 2.3, 0.02
# Coefficients below this tell nothing of steps: in smooth blocks rounding is no noise, and makes
# the same 1.5 to 2.4 many times. In chroma of half the size it is stronger.
LEAST, OF_CHROMA = 2.5, 5.0
# Nor do those below so many standard deviations of what other blocks have made of nothing.
CLEAR = 2.5
# So many different ones are needed, at so many frequencies, and so much must each speak for the
# steps on the average, in nats.
# Nine photographs of 256x256 have 160 to 3218, at 15 frequencies and more, at quality 20 to 92; of
# 100x100 3 to 790, and two are let go at quality 20. Ramps and waves that were drawn have 2 to
# 330, at 8 at most.
ENOUGH, FREQUENCIES, SURE = 50, 11, 0.3
# A step is told by its frequency alone if so much speaks for it: in all, and on the average.
# (Nine crops of 256x256 behind four kinds of tables told 25 to 64 steps so, of 100x100 1 to 64,
# all of them rightly, and none when they were no JPEG.) Others are as likely if less than this
# speaks against them.
TOLD, EACH, TIE = 12.0, 0.25, 8.0
# A quality must explain this share of those: some of a large smooth picture are odd.
MOST = 0.85
# Standard deviation of the logarithm of a step around what the others make one expect; and how
# many squared frequencies it takes until those are believed to rise or fall.
SPREAD, STIFF = 0.4, 16.0
# Finer steps than those of the last quality do no harm that a prior could see.
QUALITIES = range(5, 96)
COARSEST = 255
# Coefficients of one frequency that are looked at, and up to twice as many; of those that differ
# by less than one in so many only one, as blocks of drawings are repeated.
MANY, DISTINCT = 500, 16
# Steps of what has not been rounded since.
EXACT = torch.zeros(8, 8)


@dataclass(frozen=True)
class Steps:
    """table: (8, 8), steps by vertical and horizontal frequency.    quality: the one of libjpeg's
    that has it, 5 to 95; None of others.    turned: it has rows and columns exchanged.
    """

    table: Tensor
    quality: int | None = None
    turned: bool = False

    def of_chroma(self) -> Tensor | None:
        """(8, 8), what libjpeg takes for chroma beside this table; None where it has not this."""
        if self.quality is None:
            return None
        table = standard_table(self.quality, chroma=True)
        return table.T if self.turned else table


def find_luma_steps(
    blocks: Tensor, since: Tensor = EXACT, *, displaced: bool = False
) -> Steps | None:
    """Of the coefficients of luma, (n, 8, 8); None if they are no multiples.

    since: (8, 8), the steps to which they have been rounded later.    displaced: that was done in
    other blocks, so that what was 0 is not now.
    """
    if not _are_various(blocks):
        return None
    nats, counts = _weigh(blocks, LEAST, since, displaced=displaced)
    sure = _are_sure(nats, counts)
    best = max(
        (
            Steps(
                standard_table(quality).T if turned else standard_table(quality), quality, turned
            )
            for quality in QUALITIES
            for turned in (False, True)
        ),
        key=lambda steps: float(_spoken(nats, steps.table)[1:].sum()),
    )
    spoken = _spoken(nats, best.table)
    # The means of blocks do not count: they may be clipped.
    fits = (spoken > nats.max(1).values - TIE)[sure].float()
    if len(fits) and fits.mean() > MOST and spoken[1:].sum() > SURE * counts[1:].sum():
        return best
    if int(sure.sum()) < FREQUENCIES:
        return None
    table = _likeliest(nats, sure, standard_table(50))
    return Steps(table) if table.mean() >= standard_table(QUALITIES[-1]).mean() else None


@dataclass(frozen=True)
class ChromaSteps:
    """table: (8, 8).    nats: what speaks for it.    count: of how many coefficients."""

    table: Tensor
    nats: float
    count: int

    def over(self, each: float) -> float:
        """What speaks for it beyond so many nats of each coefficient."""
        return self.nats - each * self.count


def find_chroma_steps(
    blocks: Tensor, luma: Steps, since: Tensor = EXACT, *, displaced: bool = False
) -> tuple[ChromaSteps | None, ChromaSteps]:
    """Of the coefficients of both components, (n, 8, 8).

    What libjpeg takes beside the steps of luma, if it does, and what the picture tells.
    since, displaced: as of luma.
    """
    nats, counts = _weigh(blocks, OF_CHROMA, since, displaced=displaced)
    count = int(counts.sum())

    def of(table: Tensor) -> ChromaSteps:
        return ChromaSteps(table, float(_spoken(nats, table).sum()), count)

    expected = standard_table(50, chroma=True) * (luma.table / standard_table(50)).median()
    usual, told = luma.of_chroma(), _likeliest(nats, _are_sure(nats, counts), expected)
    return None if usual is None else of(usual), of(told)


@cache
def standard_table(quality: int, *, chroma: bool = False) -> Tensor:
    """(8, 8), steps at a quality of libjpeg, 1 to 100."""
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        found = image.quantization[int(chroma)]  # type: ignore[attr-defined]
    return torch.tensor(found, dtype=torch.float32).reshape(8, 8)


def _are_various(blocks: Tensor) -> bool:
    """Whether enough different coefficients could tell steps; the means of blocks do not count."""
    values = blocks.flatten(1)[:, 1:]
    told = values.abs() > LEAST
    names = 64 * values[told].round().long() + told.nonzero()[:, 1]
    different = torch.unique(names)
    return len(different) >= ENOUGH and len(torch.unique(different % 64)) >= FREQUENCIES


def _weigh(
    blocks: Tensor, least: float, since: Tensor, *, displaced: bool
) -> tuple[Tensor, Tensor]:
    """How much speaks for each step, rather than for values that are no multiples, in nats.

    (64, 256), by frequency and step, minus infinity for 0; and (64,), of how many coefficients,
    which are those above the least that tells something.
    """
    nats = torch.full((64, COARSEST + 1), -math.inf)
    counts = torch.zeros(64)
    sigmas = (ROUNDING**2 + since.flatten() ** 2 / 12).sqrt().tolist()
    for frequency, (values, sigma) in enumerate(zip(blocks.flatten(1).T, sigmas, strict=True)):
        bound = max(least, CLEAR * sigma) if displaced else least
        values = values[values.abs() > bound][: 4 * MANY]
        values = torch.unique(torch.round(values * DISTINCT)) / DISTINCT
        values = values[:: 1 + len(values) // MANY]
        counts[frequency] = len(values)
        nats[frequency, 1:] = len(values) * math.log(ODD)  # of steps beyond all values
        if len(values):
            last = min(COARSEST, int(values.abs().max() + 3 * sigma))
            steps = torch.arange(1.0, last + 1)[:, None]
            rest = values - steps * torch.round(values / steps)
            likely = _normal(rest, sigma)
            if frequency == 0:
                likely = (likely + _normal(rest, math.hypot(sigma, OF_MEANS))) / 2
            nats[frequency, 1 : last + 1] = torch.log((1 - ODD) * steps * likely + ODD).sum(1)
    return nats, counts


def _normal(x: Tensor, sigma: float) -> Tensor:
    return torch.exp(-((x / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))


def _are_sure(nats: Tensor, counts: Tensor) -> Tensor:
    """(64,), of which frequencies the likeliest step is sure."""
    most = nats.max(1).values
    return (most > TOLD) & (most > EACH * counts)


def _spoken(nats: Tensor, table: Tensor) -> Tensor:
    """(64,), what speaks for the steps of a table."""
    return nats.gather(1, table.long().flatten()[:, None])[:, 0]


def _likeliest(nats: Tensor, sure: Tensor, usual: Tensor) -> Tensor:
    """(8, 8), steps; not far from the usual times what those that are sure are of it.

    How many times may rise or fall with the frequency.
    """
    usual, frequency = usual.flatten().log(), torch.arange(64) // 8 + torch.arange(64) % 8
    if bool(sure.any()):
        apart, place = nats.argmax(1).log()[sure] - usual[sure], frequency[sure].float()
        aside = place - place.mean()
        rise = (aside @ apart) / (aside @ aside + STIFF)
        usual = usual + (apart - rise * place).median() + rise * frequency
    steps = torch.arange(COARSEST + 1).log()
    prior = -(((steps - usual[:, None]) / SPREAD) ** 2) / 2
    return (nats + prior).argmax(1).float().view(8, 8)
