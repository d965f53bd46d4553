"""Checks of chapter 9, at full scale."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from wsss_lib.book.checks.answers import WrongAnswer, called, close, hint_for, number, right

VIEWS = 2  # the photo and its mirror image
FORWARDS, BACKWARDS = 1, 1  # looks of a step whose weights are frozen


def check_looks(answer: Callable[[Sequence[float], Sequence[int]], float]) -> None:
    """Exercise 9.2: what it costs to climb one pair, in looks.

    Args:
        answer: takes the scales and the number of maps at each; returns a number of looks.

    Raises:
        WrongAnswer: with a hint.
    """
    papers = [0.5, 1.0, 1.5, 2.0], [13, 27, 27, 27]
    given = [([1.0], [4]), ([1.5], [3]), papers, random_climb(), ([1.0], [1])]
    for scales, maps in given:
        mine = number(called(answer, list(scales), list(maps)))
        if close(mine, looks(scales, maps)):
            continue
        raise WrongAnswer(
            hint_for(mine, mistakes_in_looks(scales, maps))
            or f"{mine:g} looks are not right for the scales {scales} with {maps} maps. Count the "
            "forward passes of one view at one scale, then its backward passes, then put all together."
        )
    right("The largest scale pays most: twice the side is four times the pixels.")


def looks(
    scales: Sequence[float],
    maps: Sequence[int],
    *,
    power: float = 2,
    views: float = VIEWS,
    backwards: float = BACKWARDS,
    saved: int = 1,
) -> float:
    """The answer: forward and backward passes of all views at all scales, by the share of pixels.

    Args:
        scales: factors by which the photo is resized.
        maps: how many maps are summed at each.
        power: by which the cost grows with the scale.
        views: of a photo.
        backwards: looks of a backward pass.
        saved: backward passes that are left out at the end of a climb.
    """
    of_a_view = [FORWARDS * count + backwards * (count - saved) for count in maps]
    return sum(views * scale**power * each for scale, each in zip(scales, of_a_view))


def mistakes_in_looks(scales: Sequence[float], maps: Sequence[int]) -> dict[str, Sequence[float]]:
    """What common mistakes answer, by their hint."""
    return {
        "No step follows the last map, so one backward pass less is needed at each scale.": [
            looks(scales, maps, saved=0)
        ],
        "The photo climbs together with its mirror image.": [looks(scales, maps, views=1)],
        "The cost grows with the number of pixels, so with the square of the scale.": [
            looks(scales, maps, power=1),
            looks(scales, maps, power=1, saved=0),
            looks(scales, maps, power=0),
        ],
        "The weights are frozen: a backward pass to the photo alone is one look, not two.": [
            looks(scales, maps, backwards=2),
            looks(scales, maps, backwards=2, saved=0),
        ],
        "That is the official procedure, with five looks a step. Ours needs no Grad-CAM and no "
        "gradients of weights.": [looks(scales, maps, backwards=4, saved=0)],
        "Count both: the forward and the backward passes, of the photo and of its mirror image.": [
            looks(scales, maps, backwards=0),
            looks(scales, maps, views=1, backwards=0),
        ],
    }


def random_climb() -> tuple[list[float], list[int]]:
    """Two or three scales, and maps for each."""
    count = random.randint(2, 3)
    scales = random.sample([0.5, 0.75, 1.25, 1.5, 2.0], count)
    return scales, [random.randint(2, 30) for _ in scales]


def check_hours(answer: Callable[[float, int, float, float], float]) -> None:
    """Exercise 9.3: how long a GPU climbs.

    Args:
        answer: takes the looks of a pair, the number of pairs, the operations of a look, and the
            operations that the GPU does in a second; returns hours.

    Raises:
        WrongAnswer: with a hint.
    """
    for _ in range(3):
        looks_each, pairs = random.uniform(50, 900), random.randint(1000, 20000)
        operations, rate = random.uniform(1e10, 1e11), random.uniform(5e12, 2e14)
        mine = number(called(answer, looks_each, pairs, operations, rate))
        hours = looks_each * pairs * operations / rate / 3600
        if close(mine / hours, 1):
            continue
        mistakes = {
            "That is in seconds.": 3600,
            "That is in minutes.": 60,
            "A rate is divided by, not multiplied with.": rate**2,
            "There are many pairs: this is the time of one.": 1 / pairs,
            "How many operations are in a look?": 1 / operations,
            "How many looks does a pair take?": 1 / looks_each,
        }
        raise WrongAnswer(
            hint_for(mine / hours, mistakes)
            or f"{mine:g} hours are not right. All operations first, then seconds, then hours."
        )
    right("It is only as good as the rate: measure that with wsss bench.")
