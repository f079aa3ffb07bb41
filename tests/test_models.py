"""Cards and folders: names, missing files, identities."""

import re

import pytest

from conftest import save_random_prior
from reddiff_cli.errors import ModelMissing
from reddiff_cli.models import WEIGHTS, find_model, read_cards


def test_bundled_prior_is_there():
    card = find_model("natural")
    assert re.fullmatch("[0-9a-f]{12}", card.revision)
    assert (card.folder / "README.md").is_file()
    assert card.licence
    assert card.wide_hole == "patches"


def test_folder_is_a_model(tiny_prior):
    card = find_model(str(tiny_prior))
    assert card.folder == tiny_prior
    assert card.wide_hole == "patches"


def test_revision_follows_the_weights(tmp_path):
    one = save_random_prior(tmp_path / "a", seed=1)
    two = save_random_prior(tmp_path / "b", seed=2)
    assert find_model(str(one)).revision != find_model(str(two)).revision


def test_unknown_names_and_missing_files(tmp_path):
    with pytest.raises(ModelMissing, match="neither a known name"):
        find_model("nonesuch")
    folder = save_random_prior(tmp_path / "a")
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelMissing, match=WEIGHTS):
        find_model(str(folder))


@pytest.mark.parametrize(
    "text", ["[a]\nformat='zip'\nbundled='x'", "[a]\nformat='diffusers'", "not toml ["]
)
def test_cards_that_make_no_sense(tmp_path, text):
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(ModelMissing, match=r"models\.toml"):
        read_cards(path)
