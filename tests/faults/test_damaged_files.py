"""A short part of the trial of faults; the whole of it is `make faults`."""

import pytest

from tests.faults.settings import all_wrong, refusal
from tests.faults.trial import TARGETS, attempt, make_world

FEW = 5  # of each kind


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("target", TARGETS)
def test_a_damaged_file_is_refused_in_a_sentence_or_mended(target, world, tmp_path):
    for number in range(FEW):
        place = tmp_path / str(number)
        place.mkdir()
        outcome, words = attempt(target, f"test-{number}", world, place)
        assert outcome in ("used", "refused", "mended"), words


@pytest.mark.parametrize("number", range(0, len(all_wrong()), 12))
def test_a_setting_that_cannot_be_is_refused_before_any_work(number, tmp_path):
    recipe, line = all_wrong()[number]
    assert refusal(recipe, line, tmp_path / "settings") == "refused", line
