"""The checks of chapter 6: every right answer passes, every common mistake gets its hint."""

import math

import numpy as np
import pytest
import torch

from wsss_lib.book.checks.answers import WrongAnswer
from wsss_lib.book.checks.chapter6 import (
    check_balanced_loss,
    check_smoothed_target,
    check_smoothing_for,
)
from wsss_lib.methods.amn import per_pixel_loss

CHECKS = [check_smoothed_target, check_balanced_loss, check_smoothing_for]


def unfinished(*arguments):
    raise NotImplementedError


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("blank", [None, ..., unfinished, lambda *arguments: None])
def test_no_answer_is_no_right_answer(check, blank):
    with pytest.raises(WrongAnswer, match="no answer yet|returns nothing"):
        check(blank)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("constant", [0.0, 0.4, 1.0, torch.full((9,), 1 / 9)])
def test_a_constant_is_refused(check, constant):
    with pytest.raises(WrongAnswer):
        check(lambda *arguments: constant)


# the target


def target_by_loop(label, smoothing, num_labels):
    return [
        1 - smoothing if k == label else smoothing / (num_labels - 1) for k in range(num_labels)
    ]


def target_in_numpy(label, smoothing, num_labels):
    row = np.full(num_labels, smoothing / (num_labels - 1), dtype=np.float32)
    row[label] = 1 - smoothing
    return row


def target_by_mixing(label, smoothing, num_labels):
    own = torch.eye(num_labels)[label]
    return own + smoothing * ((1 - own) / (num_labels - 1) - own)


def target_from_the_loss(label, smoothing, num_labels):
    """The gradient of the library's loss is p - q."""
    logit = torch.zeros(1, num_labels, 1, 1, dtype=torch.float64, requires_grad=True)
    seed = torch.tensor([[[label]]])
    per_pixel_loss(logit, seed, smoothing=smoothing, balanced=False).backward()
    return 1 / num_labels - logit.grad.flatten()


@pytest.mark.parametrize(
    "answer", [target_by_loop, target_in_numpy, target_by_mixing, target_from_the_loss]
)
def test_right_targets_pass(answer, capsys):
    check_smoothed_target(answer)
    assert "Right." in capsys.readouterr().out


def two_values(own, other):
    def answer(label, smoothing, num_labels):
        row = torch.full((num_labels,), other(smoothing, num_labels))
        row[label] = own(smoothing, num_labels)
        return row

    return answer


WRONG_TARGETS = {
    "hard target": two_values(lambda e, L: 1.0, lambda e, L: 0.0),
    "on top of its 1 - epsilon": two_values(lambda e, L: 1 - e + e / L, lambda e, L: e / L),
    "gets all of epsilon": two_values(lambda e, L: 1 - e, lambda e, L: e),
    "not L: the label itself": two_values(lambda e, L: 1 - e, lambda e, L: e / L),
    "wrong way round": two_values(lambda e, L: e, lambda e, L: (1 - e) / (L - 1)),
    "has to go to the others": two_values(lambda e, L: 1 - e, lambda e, L: 0.0),
    "but the label is": lambda k, e, L: target_by_loop((k + 1) % L, e, L),
    "adds up to": two_values(lambda e, L: 1 - e, lambda e, L: 0.3 * e / L),
    "same share": two_values(lambda e, L: 1 - e / 2, lambda e, L: e / 2 / (L - 1)),
    "should have": lambda k, e, L: target_by_loop(0, e, L - 1),
}


@pytest.mark.parametrize(("hint", "answer"), WRONG_TARGETS.items(), ids=list(WRONG_TARGETS))
def test_wrong_targets_get_their_hint(hint, answer, same_inputs):
    with pytest.raises(WrongAnswer, match=hint):
        check_smoothed_target(answer)


# the balance


def balance_by_indexing(loss, label):
    halves = [loss[label == 0], loss[(label != 0) & (label != 255)]]
    return sum(half.mean() if len(half) else half.sum() for half in halves) / 2


def balance_in_float64_numpy(loss, label):
    loss, label = loss.double().numpy(), label.numpy()
    total = 0.0
    for chosen in (label == 0, (label > 0) & (label < 255)):
        total += 0.5 * (loss * chosen).sum() / max(chosen.sum(), 1)
    return total


def balance_by_loop(loss, label):
    halves = [[], []]
    for value, name in zip(loss.flatten().tolist(), label.flatten().tolist()):
        if name != 255:
            halves[name > 0].append(value)
    return sum(sum(half) / max(len(half), 1) for half in halves) / 2


def balance_by_weights(loss, label):
    count = torch.stack([(label == 0).sum(), ((label > 0) & (label < 255)).sum(), label.sum()])
    weight = torch.where(label == 0, 0.5 / count[0], 0.5 / count[1])
    return loss.where(label != 255, 0).mul(weight.where(label != 255, 0)).sum().reshape(1)


@pytest.mark.parametrize(
    "answer",
    [balance_by_indexing, balance_in_float64_numpy, balance_by_loop, balance_by_weights],
)
def test_right_balances_pass(answer, capsys):
    check_balanced_loss(answer)
    assert "Right." in capsys.readouterr().out


def mean(loss, chosen):
    return (loss * chosen).sum() / chosen.sum().clamp(min=1)


def groups(label):
    return label == 0, (label > 0) & (label != 255), label == 255


def each_label(loss, label):
    labels = [label == k for k in label.unique() if k != 255]
    return sum(mean(loss, chosen) for chosen in labels) / max(len(labels), 1)


def each_photo(loss, label):
    return sum(balance_by_loop(a, b) for a, b in zip(loss, label)) / len(loss)


def half_if_there(loss, label):
    there = [loss[chosen].mean() for chosen in groups(label)[:2] if chosen.any()]
    return sum(there) / max(len(there), 1)


WRONG_BALANCES = {
    "so is most of the loss": lambda x, y: mean(x, y != 255),
    "255 is above 0": lambda x, y: (mean(x, y == 0) + mean(x, y > 0)) / 2,
    "Void counts as background": lambda x, y: (mean(x, ~groups(y)[1]) + mean(x, groups(y)[1])) / 2,
    "those without a label among them": lambda x, y: x.mean(),
    "two groups only": each_label,
    "in each photo first": each_photo,
    "takes half of each": lambda x, y: mean(x, groups(y)[0]) + mean(x, groups(y)[1]),
    "foreground alone": lambda x, y: mean(x, groups(y)[1]),
    "background alone": lambda x, y: mean(x, groups(y)[0]),
    "without any foreground": lambda x, y: (x[groups(y)[0]].mean() + x[groups(y)[1]].mean()) / 2,
    "still weighs one half": half_if_there,
    "mean where it is a class": lambda x, y: balance_by_loop(x, y) + 1,
    "one number": lambda x, y: x,
}


@pytest.mark.parametrize(("hint", "answer"), WRONG_BALANCES.items(), ids=list(WRONG_BALANCES))
def test_wrong_balances_get_their_hint(hint, answer, same_inputs):
    with pytest.raises(WrongAnswer, match=hint):
        check_balanced_loss(answer)


# the smoothing for a lead


def smoothing_by_algebra(lead, num_labels):
    return (num_labels - 1) / (num_labels - 1 + math.exp(lead))


def smoothing_by_softmax(lead, num_labels):
    logits = torch.zeros(num_labels, dtype=torch.float64)
    logits[0] = lead
    return 1 - logits.softmax(0)[0]


def smoothing_by_bisection(lead, num_labels):
    low, high = 1e-9, 1 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        above = math.log((1 - middle) * (num_labels - 1) / middle) > lead
        low, high = (middle, high) if above else (low, middle)
    return low


@pytest.mark.parametrize(
    "answer", [smoothing_by_algebra, smoothing_by_softmax, smoothing_by_bisection]
)
def test_right_smoothings_pass(answer, capsys):
    check_smoothing_for(answer)
    assert "Right." in capsys.readouterr().out


WRONG_SMOOTHINGS = {
    "what the label keeps": lambda g, L: 1 - smoothing_by_algebra(g, L),
    "number of labels is missing": lambda g, L: 1 / (1 + math.exp(g)),
    "are L - 1, not L": lambda g, L: L / (L + math.exp(g)),
    "check the sign": lambda g, L: (L - 1) / (L - 1 + math.exp(-g)),
    "one other label": lambda g, L: 1 / (L - 1 + math.exp(g)),
    "keeps 1 / L": lambda g, L: smoothing_by_algebra(g, L) if g else 0.0,
    "solve it": lambda g, L: smoothing_by_algebra(g, L) + 0.01,
}


@pytest.mark.parametrize(("hint", "answer"), WRONG_SMOOTHINGS.items(), ids=list(WRONG_SMOOTHINGS))
def test_wrong_smoothings_get_their_hint(hint, answer, same_inputs):
    with pytest.raises(WrongAnswer, match=hint):
        check_smoothing_for(answer)
