"""What every check of an exercise does with an answer."""

import numpy as np
import pytest
import torch

from wsss_lib.book.checks import answers
from wsss_lib.book.checks.answers import WrongAnswer


@pytest.mark.parametrize("blank", [None, ...])
@pytest.mark.parametrize("reads", ["number", "called", "tensor"])
def test_no_answer_is_no_right_answer(reads, blank):
    arguments = {"number": (), "called": (), "tensor": ((2,),)}[reads]
    with pytest.raises(WrongAnswer, match="no answer yet"):
        getattr(answers, reads)(blank, *arguments)


def test_a_wrong_answer_fails_as_an_assertion_does():
    assert issubclass(WrongAnswer, AssertionError)


@pytest.mark.parametrize("message, said", [("", "Right.\n"), ("It fell.", "Right. It fell.\n")])
def test_right(capsys, message, said):
    answers.right(message)
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    "answer", [2, 2.0, np.float32(2), torch.tensor(2), torch.tensor([2.0]), "2", True + 1]
)
def test_a_number_in_any_form(answer):
    assert answers.number(answer) == 2.0


@pytest.mark.parametrize("answer", ["two", [1, 2], torch.ones(2), {}])
def test_what_is_no_number(answer):
    with pytest.raises(WrongAnswer, match="one number"):
        answers.number(answer)


@pytest.mark.parametrize("answer", [float("nan"), float("inf"), torch.tensor(float("nan"))])
def test_a_number_is_finite(answer):
    with pytest.raises(WrongAnswer, match="not a number|infinite"):
        answers.number(answer)


def test_a_function_is_called_with_copies():
    given = torch.ones(2)

    def spoils(x, factor):
        x *= factor
        return x

    assert answers.called(spoils, given, 3).tolist() == [3, 3]
    assert given.tolist() == [1, 1]


def test_what_is_no_function():
    with pytest.raises(WrongAnswer, match="the function itself"):
        answers.called(torch.ones(2))


def test_a_function_that_is_not_written_yet():
    def blank(x):
        raise NotImplementedError

    with pytest.raises(WrongAnswer, match="no answer yet"):
        answers.called(blank, 1)


def test_a_function_that_breaks():
    with pytest.raises(WrongAnswer, match="ZeroDivisionError: division by zero") as raised:
        answers.called(lambda x: x / 0, 1)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_a_function_without_return():
    with pytest.raises(WrongAnswer, match="return"):
        answers.called(lambda x: None, 1)


@pytest.mark.parametrize(
    "answer",
    [[[1, 2]], np.array([[1, 2]], np.int16), torch.tensor([[1.0, 2.0]], requires_grad=True)],
)
def test_a_tensor_in_any_form(answer):
    read = answers.tensor(answer, (1, 2))
    assert read.dtype == torch.float64 and not read.requires_grad
    assert read.tolist() == [[1, 2]]


def test_a_tensor_of_another_shape():
    with pytest.raises(WrongAnswer, match=r"shape \(2,\); it should have \(1, 2\)"):
        answers.tensor([1, 2], (1, 2))


@pytest.mark.parametrize("answer", ["text", object(), [[1], [1, 2]]])
def test_what_is_no_tensor(answer):
    with pytest.raises(WrongAnswer, match="should be a tensor"):
        answers.tensor(answer, (2,))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_is_finite(value):
    with pytest.raises(WrongAnswer, match="infinite or not a number"):
        answers.tensor([value, 1], (2,))


def test_close():
    assert answers.close(1, 1.00001) and not answers.close(1, 1.01)
    assert answers.close(torch.ones(2), torch.ones(2, dtype=torch.float16))
    assert not answers.close(torch.ones(2), torch.tensor([1, 2]))
    assert answers.close(1, 1.05, tolerance=0.1)
