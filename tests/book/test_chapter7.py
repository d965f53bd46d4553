"""The checks of chapter 7: every right answer passes, every common mistake gets its hint."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from wsss_lib.book.checks.answers import WrongAnswer
from wsss_lib.book.checks.chapter7 import check_absent_share, check_conditioning, check_held

CHECKS = [check_conditioning, check_absent_share, check_held]


def unfinished(*arguments):
    raise NotImplementedError


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("blank", [None, ..., unfinished, lambda *arguments: None])
def test_no_answer_is_no_right_answer(check, blank):
    with pytest.raises(WrongAnswer, match="no answer yet|returns nothing"):
        check(blank)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("constant", [0.0, 0.4, torch.zeros(3, 5, 6, 7), torch.ones(3, 5, 6, 5)])
def test_a_constant_is_refused(check, constant):
    with pytest.raises(WrongAnswer):
        check(lambda *arguments: constant)


# conditioning


def conditioned_by_linear(feature, tag, weight, bias):
    return feature * F.linear(tag, weight, bias)[:, :, None, None]


def conditioned_by_einsum(feature, tag, weight, bias):
    return torch.einsum("bchw,bc->bchw", feature, torch.einsum("ck,bk->bc", weight, tag) + bias)


def conditioned_by_loop_in_float64(feature, tag, weight, bias):
    photos = []
    for f, y in zip(feature.double(), tag.double()):
        gain = weight.double() @ y + bias.double()
        photos.append(torch.stack([channel * g for channel, g in zip(f, gain)]))
    return torch.stack(photos)


def conditioned_in_numpy(feature, tag, weight, bias):
    gain = tag.numpy() @ weight.numpy().T + bias.numpy()
    return feature.numpy() * gain[..., None, None]


@pytest.mark.parametrize(
    "answer",
    [
        conditioned_by_linear,
        conditioned_by_einsum,
        conditioned_by_loop_in_float64,
        conditioned_in_numpy,
    ],
)
def test_right_conditionings_pass(answer, capsys):
    check_conditioning(answer)
    assert "Right." in capsys.readouterr().out


def gains(function):
    return lambda f, y, w, b: f * function(F.linear(y, w, b))[:, :, None, None]


WRONG_CONDITIONINGS = {
    "bias is missing": lambda f, y, w, b: f * (y @ w.T)[:, :, None, None],
    "adds the gain": lambda f, y, w, b: f + F.linear(y, w, b)[:, :, None, None],
    "belongs to the gain": lambda f, y, w, b: (
        f * (y @ w.T)[:, :, None, None] + b[None, :, None, None]
    ),
    "no activation": gains(torch.sigmoid),
    "product alone": lambda f, y, w, b: f + f * F.linear(y, w, b)[:, :, None, None],
    "tags have no effect": lambda f, y, w, b: f,
    "of the first one": gains(lambda gain: gain[:1].expand_as(gain)),
    "share one gain": gains(lambda gain: gain.mean(dim=0, keepdim=True).expand_as(gain)),
    "stops with": lambda f, y, w, b: f * F.linear(y, w, b),
    "should have": lambda f, y, w, b: F.linear(y, w, b),
    "W y": gains(lambda gain: gain + 0.3),
}


@pytest.mark.parametrize(
    ("hint", "answer"), WRONG_CONDITIONINGS.items(), ids=list(WRONG_CONDITIONINGS)
)
def test_wrong_conditionings_get_their_hint(hint, answer, same_inputs):
    with pytest.raises(WrongAnswer, match=hint):
        check_conditioning(answer)


def test_a_gain_on_the_wrong_axis_is_found_where_the_shapes_allow_it(same_inputs):
    def answer(feature, tag, weight, bias):
        gain = F.linear(tag, weight, bias)
        wrong = gain[:, None] if len(set(feature.shape)) == 1 else gain[:, :, None, None]
        return feature * wrong

    with pytest.raises(WrongAnswer, match="wrong axis"):
        check_conditioning(answer)


# absent foreground


def share_by_loop(label, tag):
    absent = foreground = 0
    for k in label.flatten().tolist():
        foreground += k > 0
        absent += k > 0 and not tag[k - 1]
    return absent / foreground if foreground else 0


def share_by_isin(label, tag):
    allowed = torch.cat([torch.zeros(1, dtype=torch.long), tag.nonzero().flatten() + 1])
    return (~torch.isin(label, allowed)).sum() / max(1, int((label > 0).sum()))


def share_in_numpy(label, tag):
    own = label.numpy()[label.numpy() > 0]
    return np.float64(0) if own.size == 0 else (~tag.numpy()[own - 1]).mean()


@pytest.mark.parametrize("answer", [share_by_loop, share_by_isin, share_in_numpy])
def test_right_shares_pass(answer, capsys):
    check_absent_share(answer)
    assert "Right." in capsys.readouterr().out


def counts(label, tag):
    absent_L = torch.cat([torch.tensor([False]), ~tag])
    return int(absent_L[label].sum()), int((label > 0).sum())


def from_counts(formula):
    return lambda label, tag: formula(*counts(label, tag), label.numel())


def off_by_one(label, tag):
    wrong = torch.cat([~tag, torch.tensor([True])])[label] & (label > 0)
    return int(wrong.sum()) / max(int((label > 0).sum()), 1)


def by_class(label, tag):
    classes = label[label > 0].unique() - 1
    return float((~tag[classes]).float().mean()) if len(classes) else 0.0


WRONG_SHARES = {
    "share of all cells": from_counts(lambda a, f, n: a / n),
    "that \\*are\\* there": from_counts(lambda a, f, n: (f - a) / max(f, 1)),
    "Label 0 is always allowed": from_counts(lambda a, f, n: (a + n - f) / n),
    "off by one": off_by_one,
    "This is a count": from_counts(lambda a, f, n: a),
    "cells that are right": from_counts(lambda a, f, n: a / max(f - a, 1)),
    "counts classes": by_class,
    "not a percentage": from_counts(lambda a, f, n: 100 * a / max(f, 1)),
    "one number: the first": counts,
    "divide by zero": from_counts(lambda a, f, n: a / f if f else float("nan")),
    "has no tag": from_counts(lambda a, f, n: a / max(f, 1) + 0.01),
}


@pytest.mark.parametrize(("hint", "answer"), WRONG_SHARES.items(), ids=list(WRONG_SHARES))
def test_wrong_shares_get_their_hint(hint, answer, same_inputs):
    with pytest.raises(WrongAnswer, match=hint):
        check_absent_share(answer)


# held to the tags


def allowed(tag):
    return F.pad(tag, (1, 0), value=1)[:, :, None, None]


def held_by_division(probability, tag):
    kept = probability * allowed(tag)
    return kept / kept.sum(1, keepdim=True)


def held_by_logarithm_in_float64(probability, tag):
    return probability.double().log().masked_fill(allowed(tag) == 0, -torch.inf).softmax(1)


def held_by_loop_in_numpy(probability, tag):
    result = np.zeros(tuple(probability.shape), dtype=np.float32)
    for b in range(len(tag)):
        labels = [0, *(k + 1 for k in range(tag.shape[1]) if tag[b, k])]
        part = probability[b, labels].numpy()
        result[b, labels] = part / part.sum(axis=0)
    return result


@pytest.mark.parametrize(
    "answer", [held_by_division, held_by_logarithm_in_float64, held_by_loop_in_numpy]
)
def test_right_holdings_pass(answer, capsys):
    check_held(answer)
    assert "Right." in capsys.readouterr().out


def shared_equally(probability, tag):
    kept = probability * allowed(tag)
    lost = 1 - kept.sum(1, keepdim=True)
    return kept + lost * allowed(tag) / allowed(tag).sum(1, keepdim=True)


def to_the_background(probability, tag):
    kept = probability * allowed(tag)
    kept[:, 0] += 1 - kept.sum(1)
    return kept


def without_background(probability, tag):
    kept = probability * F.pad(tag, (1, 0), value=0)[:, :, None, None]
    return kept / kept.sum(1, keepdim=True)


def off_by_one_tags(probability, tag):
    kept = probability * F.pad(tag, (0, 1), value=1)[:, :, None, None]
    return kept / kept.sum(1, keepdim=True)


def divided_by_the_largest(probability, tag):
    kept = probability * allowed(tag)
    return kept / kept.amax(1, keepdim=True)


WRONG_HOLDINGS = {
    "add up to 1 again": lambda p, y: p * allowed(y),
    "keep label 0": without_background,
    "class c is label c": off_by_one_tags,
    "been through exp": lambda p, y: (p * allowed(y)).softmax(1),
    "shared out equally": shared_equally,
    "goes to the background": to_the_background,
    "the largest label": divided_by_the_largest,
    "no effect": lambda p, y: p,
    "should have": lambda p, y: p[:, 1:],
    "rule out to zero": lambda p, y: held_by_division(p, y) + 0.01,
}


@pytest.mark.parametrize(("hint", "answer"), WRONG_HOLDINGS.items(), ids=list(WRONG_HOLDINGS))
def test_wrong_holdings_get_their_hint(hint, answer, same_inputs):
    with pytest.raises(WrongAnswer, match=hint):
        check_held(answer)
