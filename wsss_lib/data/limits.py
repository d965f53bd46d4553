"""What settings may be, checked when they are given: before anything is read, learned or written."""

import difflib
import math
from collections.abc import Sequence

from wsss_lib.data.layout import InputError


def refuse_outside(
    settings: object,
    names: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    whole: bool = False,
) -> None:
    """Raises a ValueError if one of these settings, or a number in one that is a tuple, lies outside; None is left out.

    Args:
        settings: has them as attributes.
        names: of the settings, apart by spaces.
        least: the smallest value.
        above: all values are larger.
        most: the largest value.
        whole: only whole numbers.
    """
    for name in names.split():
        given = getattr(settings, name)
        for value in given if isinstance(given, tuple | list) else [given]:
            number = isinstance(value, int if whole else int | float) and math.isfinite(value)
            if value is not None and not (number and above < value <= most and value >= least):
                words = said(least, above, most, "a whole number" if whole else "finite")
                raise ValueError(f"{name} must be {words}, but is {value}")


def said(least: float, above: float, most: float, kind: str) -> str:
    """The limits in words."""
    if math.isfinite(most):
        low = f"more than {above:g}" if math.isfinite(above) else f"{least:g}"
        return f"{kind} from {low} to {most:g}"
    if math.isfinite(above):
        return f"{kind} and more than {above:g}"
    return f"{kind} and {least:g} or more" if math.isfinite(least) else kind


def known(word: str, words: Sequence[str], kind: str) -> str:
    """Returns ``word``, or says which words there are.

    Raises:
        InputError: there is no such word.
    """
    if word in words:
        return word
    near = difflib.get_close_matches(word, words, n=1)
    guess = f"; did you mean {near[0]}?" if near else "."
    raise InputError(f"there is no {kind} {word!r}{guess} There are: {', '.join(words)}")
