"""Messages say how many there are in words that fit one, too."""

import pytest

from reddiff_cli.errors import UsageError, counted
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.options.tasks import HdrOptions


def test_numbers_and_their_nouns():
    assert [counted(number, "step") for number in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
    assert counted(1, "pixel is", "pixels are") == "1 pixel is"
    assert counted(3, "pixel is", "pixels are") == "3 pixels are"


@pytest.mark.parametrize(
    ("kernel", "told"),
    [("motion:5", "1 value instead of 2"), ("gaussian:1,2", "2 values instead of 1")],
)
def test_values_of_a_kernel(kernel, told):
    with pytest.raises(UsageError, match=f"{told}; write"):
        parse_kernel(kernel)


def test_one_picture_of_several_exposures(tmp_path):
    with pytest.raises(UsageError, match="2 values, 1 picture; give one for each"):
        HdrOptions(exposures=(0.0, 2.0)).claim([tmp_path / "a.png"])
