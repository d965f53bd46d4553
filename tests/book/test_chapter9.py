"""The checks of chapter 9: every right answer passes, every common mistake gets its hint."""

import random

import pytest

from wsss_lib.book.checks.answers import WrongAnswer
from wsss_lib.book.checks.chapter9 import check_hours, check_looks, looks
from wsss_lib.methods.advcam import Climbing

CHECKS = [check_looks, check_hours]


@pytest.fixture(autouse=True)
def seeded():
    random.seed(0)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("blank", [None, ..., lambda *arguments: None, lambda *arguments: ...])
def test_no_answer_is_no_right_answer(check, blank):
    with pytest.raises(WrongAnswer):
        check(blank)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("constant", [0.0, 1.0, 781.0, float("nan")])
def test_a_constant_is_refused(check, constant):
    with pytest.raises(WrongAnswer):
        check(lambda *arguments: constant)


def pass_by_pass(scales, maps):
    """Every single pass of every view."""
    total = 0
    for scale, count in zip(scales, maps):
        for _ in ("photo", "mirror image"):
            for t in range(1, count + 1):
                total += scale * scale  # forward
                total += scale * scale if t < count else 0  # backward
    return total


def as_an_int_where_it_can(scales, maps):
    value = 2 * sum((2 * count - 1) * scale**2 for scale, count in zip(scales, maps))
    return int(value) if value == int(value) else value


@pytest.mark.parametrize("answer", [looks, pass_by_pass, as_an_int_where_it_can])
def test_right_looks(answer, capsys):
    check_looks(answer)
    assert "Right." in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda s, m: sum(4 * c * a**2 for a, c in zip(s, m)), "No step follows the last map"),
        (lambda s, m: sum((2 * c - 1) * a**2 for a, c in zip(s, m)), "mirror image"),
        (lambda s, m: sum(2 * (2 * c - 1) * a for a, c in zip(s, m)), "square of the scale"),
        (lambda s, m: sum(2 * (3 * c - 2) * a**2 for a, c in zip(s, m)), "one look, not two"),
        (lambda s, m: sum(2 * 5 * c * a**2 for a, c in zip(s, m)), "official procedure"),
        (lambda s, m: sum(2 * c * a**2 for a, c in zip(s, m)), "Count both"),
        (lambda s, m: sum(c * a**2 for a, c in zip(s, m)), "Count both"),
        (lambda s, m: sum(s) + sum(m), "not right for the scales"),
    ],
)
def test_wrong_looks(answer, hint):
    with pytest.raises(WrongAnswer, match=hint):
        check_looks(answer)


def test_the_looks_of_the_papers_scales():
    scales = (0.5, 1.0, 1.5, 2.0)
    assert looks(scales, [Climbing().steps_at(scale) for scale in scales]) == 781


@pytest.mark.parametrize(
    "answer",
    [
        lambda looks, pairs, operations, rate: looks * pairs * operations / rate / 3600,
        lambda looks, pairs, operations, rate: looks / rate * operations / 60 * pairs / 60,
    ],
)
def test_right_hours(answer, capsys):
    check_hours(answer)
    assert "Right." in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda looks, pairs, operations, rate: looks * pairs * operations / rate, "in seconds"),
        (lambda looks, pairs, operations, rate: looks * pairs * operations / rate / 60, "minutes"),
        (
            lambda looks, pairs, operations, rate: looks * pairs * operations * rate / 3600,
            "divided",
        ),
        (lambda looks, pairs, operations, rate: looks * operations / rate / 3600, "many pairs"),
        (lambda looks, pairs, operations, rate: looks * pairs / rate / 3600, "operations are in"),
        (lambda looks, pairs, operations, rate: pairs * operations / rate / 3600, "looks does a"),
        (lambda looks, pairs, operations, rate: looks + pairs, "not right"),
    ],
)
def test_wrong_hours(answer, hint):
    with pytest.raises(WrongAnswer, match=hint):
        check_hours(answer)
