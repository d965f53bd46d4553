"""What every check does: it says that an answer is right, or raises `WrongAnswer` with a hint."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor


class WrongAnswer(AssertionError):
    """The answer is not right; the message is a hint."""


def right(message: str = "") -> None:
    """Says that the answer is right, and what it shows."""
    print(f"Right. {message}".strip())


def number(answer: object) -> float:
    """The answer as a number.

    Raises:
        WrongAnswer: there is no answer yet, or it is not one finite number.
    """
    refuse_blank(answer)
    try:
        value = float(answer)
    except (TypeError, ValueError, RuntimeError):
        raise WrongAnswer(f"The answer should be one number, not {answer!r}.") from None
    if not math.isfinite(value):
        raise WrongAnswer("The answer is infinite or not a number.")
    return value


def called(function: Callable, *arguments: object) -> object:
    """What the learner's function returns.

    Raises:
        WrongAnswer: there is no function yet, it breaks, or it returns nothing.
    """
    refuse_blank(function)
    if not callable(function):
        raise WrongAnswer(
            "Hand over the function itself, without calling it: check(f), not check(f(x))."
        )
    copies = [each.clone() if isinstance(each, Tensor) else each for each in arguments]
    try:
        result = function(*copies)
    except NotImplementedError:
        raise WrongAnswer("There is no answer yet.") from None
    except Exception as error:
        raise WrongAnswer(f"Your function stops with {type(error).__name__}: {error}") from error
    if result is None:
        raise WrongAnswer("Your function returns nothing: is there a `return`?")
    return result


def tensor(answer: object, shape: tuple[int, ...]) -> Tensor:
    """The answer as a tensor of float64.

    Raises:
        WrongAnswer: it cannot be one, has another shape, or a value that is not finite.
    """
    refuse_blank(answer)
    try:
        values = torch.as_tensor(answer).detach().double()
    except (TypeError, ValueError, RuntimeError):
        raise WrongAnswer(f"The answer should be a tensor, not {type(answer).__name__}.") from None
    if tuple(values.shape) != tuple(shape):
        raise WrongAnswer(
            f"The answer has the shape {tuple(values.shape)}; it should have {tuple(shape)}."
        )
    if not values.isfinite().all():
        raise WrongAnswer("The answer has values that are infinite or not a number.")
    return values


def refuse_blank(answer: object) -> None:
    """Raises `WrongAnswer` for ``None`` and ``...``."""
    if answer is None or answer is Ellipsis:
        raise WrongAnswer("There is no answer yet.")


def close(one: Tensor | float, other: Tensor | float, tolerance: float = 1e-4) -> bool:
    """Whether two answers are equal up to rounding."""
    pair = torch.as_tensor(one, dtype=torch.float64), torch.as_tensor(other, dtype=torch.float64)
    return torch.allclose(*pair, rtol=tolerance, atol=tolerance)


def hint_for(
    answer: Tensor | float,
    mistakes: Mapping[str, Tensor | float | Sequence[Tensor | float]],
    tolerance: float = 1e-5,
) -> str | None:
    """The hint of the mistake that gives this answer, if there is one.

    Args:
        answer: a wrong one.
        mistakes: for each hint the answer, or the answers, of those who need it.
        tolerance: tighter than for right answers, so that no hint is given by coincidence.
    """
    for hint, values in mistakes.items():
        values = values if isinstance(values, (tuple, list)) else [values]
        if any(close(answer, value, tolerance) for value in values):
            return hint
    return None


def is_nan(answer: object) -> bool:
    """Whether the answer is a single number that is none."""
    try:
        return math.isnan(float(answer))
    except (TypeError, ValueError, RuntimeError):
        return False


def fresh_generator() -> torch.Generator:
    """Random numbers that differ from call to call and leave the notebook's own alone."""
    generator = torch.Generator()
    generator.seed()
    return generator
