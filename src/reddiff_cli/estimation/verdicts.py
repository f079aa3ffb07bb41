"""What a residual says of the noise that was assumed."""

import math
from dataclasses import dataclass

from .noise import FLOOR, FLOOR_SMOOTHED

# Ratios of residual to noise that a right model leaves; super-resolution that is best by PSNR
# leaves 0.76.
RIGHT = (0.7, 1.2)
# A residual of so much, of 255, tells nothing: rounding alone leaves 0.3, and 24 clean JPEG files
# of quality 75 to 95, whose coefficients are read, leave `denoise` with 0.7 to 1.2, at ratios of
# 0.9 to 1.4. (Where less noise than FLOOR was told, more than rounding to 8 bits can be seen.)
LITTLE = 1.25
# What phase retrieval says of a result that explains its data no better than a wrong one would.
FAILED = "failed"
TOO_MUCH = "too much is left unexplained"
# Nor is so much noise, of 255, judged to be too much: a third of it is left by rounding alone, and
# clean pictures are estimated to have it.
SLIGHT = 1.0
# Residual over noise that several exposures leave at least, if the noise is right.
LEFT_AT_LEAST = 0.4
LESS = "noise is less than assumed; try a smaller --noise"


@dataclass(frozen=True)
class Grounds:
    """What the noise that a residual is compared with rests on.

    hidden: it is a guess, as a lossy file has smoothed the noise: less residual tells nothing.
    raised: it is taken for so many times what was found of it, which leaves as much less.
    """

    hidden: bool = False
    raised: float = 1.0


TOLD = Grounds()


def judge_residual(ratio: float, sigma: float, grounds: Grounds = TOLD) -> str:
    """What rms residual over sigma, in [0, 1] units, says about the assumptions.

    No noise is taken for less than FLOOR, in lossy files FLOOR_SMOOTHED. That is more than the
    rounding to 8 bits, or what compression does to a smooth picture: with nothing wrong, as where
    no more than SLIGHT was taken. Nor is a residual of LITTLE too much, beside noise that is not
    told to be less than rounding. A ratio that is neither judged so nor in RIGHT gets no word.
    """
    lowest = RIGHT[0] / grounds.raised
    if is_too_much(ratio, sigma):
        return f"{TOO_MUCH}: wrong operator, more noise, or too much prior weight"
    floor = sigma <= SLIGHT / 255 or math.isclose(sigma, FLOOR_SMOOTHED / 255)
    if ratio < lowest and not floor and not grounds.hidden:
        return "noise is less than assumed, is being fitted, or is wider than pixels"
    return "right" if lowest <= ratio <= RIGHT[1] else ""


def is_too_much(ratio: float, sigma: float) -> bool:
    """True if so much residual over noise, in [0, 1] units, is neither noise nor rounding."""
    return ratio > RIGHT[1] and (sigma < FLOOR / 255 or ratio * sigma > LITTLE / 255)


def judge_exposures(ratio: float, sigma: float, grounds: Grounds = TOLD) -> str:
    """What rms residual over sigma says of several exposures: too much, too little, or nothing.

    Seven photographs at two or three of -2, 0, 2 stops, with noise of 1 to 6 of 255, leave 0.5 to
    1.1, as what only one of them shows leaves nothing; where texture passed for noise 0.1 to 0.3;
    with steps of 1.8 1.5 to 5.6, in the reverse order 5 to 113. Where lossy files hide noise of 4
    to 8 of 255, exposures that are told rightly leave 1.5 to 2.4, too, and dark ones of 4 stops
    less, whose noise is the strongest in the dark, 1.6 to 3.2.
    """
    if is_too_much(ratio, sigma):
        likely = "wrong order, steps (EV) or --response of the exposures, something that moved"
        return f"{TOO_MUCH}: {likely}, or more noise"
    guessed = grounds.hidden or sigma <= SLIGHT / 255
    return "" if guessed or ratio >= LEFT_AT_LEAST else LESS
