"""The checks of chapter 4 accept every right answer and name every common mistake."""

import pytest
import torch

from wsss_lib.book.checks.answers import WrongAnswer
from wsss_lib.book.checks.chapter4 import check_lambda, check_pull, check_signs

# a check draws new numbers each time; a hint must not depend on luck
OFTEN = range(5)


def mask_of(map_Phw, tau):
    return map_Phw > tau * map_Phw.amax(dim=(1, 2), keepdim=True)


def pull_in_words(map_Phw, start_Phw, tau, lam):
    result = torch.ones_like(map_Phw)
    for p in range(len(map_Phw)):
        for y in range(map_Phw.shape[1]):
            for x in range(map_Phw.shape[2]):
                now, before = float(map_Phw[p, y, x]), float(start_Phw[p, y, x])
                if now > tau * float(map_Phw[p].max()):
                    result[p, y, x] -= lam * ((now > before) - (now < before))
    return result


def pull_by_autograd(map_Phw, start_Phw, tau, lam):
    cell_Phw = map_Phw.clone().requires_grad_()
    change = mask_of(map_Phw, tau) * (cell_Phw - start_Phw).abs()
    objective_P = (cell_Phw - lam * change).mean(dim=(1, 2))
    (slope_Phw,) = torch.autograd.grad(objective_P.sum(), cell_Phw)
    return slope_Phw * map_Phw[0].numel()


def pull_in_single_precision(map_Phw, start_Phw, tau, lam):
    sign_Phw = torch.sign(map_Phw.float() - start_Phw.float())
    return (1 - lam * torch.where(mask_of(map_Phw, tau), sign_Phw, 0)).numpy()


@pytest.mark.parametrize("answer", [pull_in_words, pull_by_autograd, pull_in_single_precision])
def test_every_right_pull_passes(answer, capsys):
    for _ in OFTEN:
        check_pull(answer)
    assert "Right." in capsys.readouterr().out


def pull_with(mask, sign=torch.sign, score=1.0):
    def answer(map_Phw, start_Phw, tau, lam):
        held_Phw = mask(map_Phw, start_Phw, tau)
        return score - lam * held_Phw * sign(map_Phw - start_Phw)

    return answer


def usual(map_Phw, start_Phw, tau):
    return mask_of(map_Phw, tau)


WRONG_PULLS = {
    "use >, not >=": pull_with(lambda m, s, tau: m >= tau * m.amax((1, 2), keepdim=True)),
    "fraction of the maximum": pull_with(lambda m, s, tau: m > tau),
    "share one maximum": pull_with(lambda m, s, tau: m > tau * m.max()),
    "mask of the first map": pull_with(lambda m, s, tau: mask_of(s, tau)),
    "cells .above. the threshold": pull_with(lambda m, s, tau: ~mask_of(m, tau)),
    "Only cells in the mask": pull_with(lambda m, s, tau: torch.ones_like(m)),
    "has a sign": pull_with(usual, sign=torch.ones_like),
    "penalty is subtracted": pull_with(usual, sign=lambda d: -d.sign()),
    "The score pulls every cell up": pull_with(usual, score=0.0),
    "no slope at zero": pull_with(usual, sign=lambda d: torch.where(d >= 0, 1.0, -1.0)),
    "other way up": lambda m, s, tau, lam: -pull_by_autograd(m, s, tau, lam),
    "multiply by the number": lambda m, s, tau, lam: (
        pull_by_autograd(m, s, tau, lam) / m[0].numel()
    ),
    "four kinds of cells": lambda m, s, tau, lam: torch.rand_like(m),
}


@pytest.mark.parametrize("hint", WRONG_PULLS)
def test_each_wrong_pull_gets_its_hint(hint):
    for _ in OFTEN:
        with pytest.raises(WrongAnswer, match=hint):
            check_pull(WRONG_PULLS[hint])


def in_means(lam, h, w, weight_C):
    return lam * h * w / (2 * (weight_C > 0).sum())


def in_means_by_a_loop(lam, h, w, weight_C):
    count = sum(1 for weight in weight_C.tolist() if weight > 0)
    return h * (w * lam) / count / 2


@pytest.mark.parametrize("answer", [in_means, in_means_by_a_loop])
def test_every_right_lambda_passes(answer):
    for _ in OFTEN:
        check_lambda(answer)


WRONG_LAMBDAS = {
    "Half of that": lambda lam, h, w, weight_C: lam * h * w / (weight_C > 0).sum(),
    "counts all weights": lambda lam, h, w, weight_C: lam * h * w / (2 * len(weight_C)),
    "paper's unit": lambda lam, h, w, weight_C: lam * h * w,
    "other direction": lambda lam, h, w, weight_C: lam * 2 * (weight_C > 0).sum() / (h * w),
    "number of cells is missing": lambda lam, h, w, weight_C: lam / (2 * (weight_C > 0).sum()),
    "do not divide": lambda lam, h, w, weight_C: lam / (2 * (weight_C > 0).sum() * h * w),
    "sums the positive": lambda lam, h, w, weight_C: (
        lam * h * w / (2 * weight_C.clamp(min=0).sum())
    ),
    "what stands in front": lambda lam, h, w, weight_C: 0.0,
}


@pytest.mark.parametrize("hint", WRONG_LAMBDAS)
def test_each_wrong_lambda_gets_its_hint(hint):
    for _ in OFTEN:
        with pytest.raises(WrongAnswer, match=hint):
            check_lambda(WRONG_LAMBDAS[hint])


def signs(c, tag_K):
    sign_K = tag_K.float() - 1
    sign_K[c] = 1
    return sign_K


def signs_in_words(c, tag_K):
    return [1 if k == c else 0 if tag_K[k] else -1 for k in range(len(tag_K))]


@pytest.mark.parametrize("answer", [signs, signs_in_words])
def test_all_right_signs_pass(answer):
    for _ in OFTEN:
        check_signs(answer)


def all_others(c, tag_K):
    sign_K = -torch.ones(len(tag_K))
    sign_K[c] = 1
    return sign_K


def only_tagged(c, tag_K):
    sign_K = -tag_K.int()
    sign_K[c] = 1
    return sign_K


def nothing(c, tag_K):
    return torch.nn.functional.one_hot(torch.tensor(c), len(tag_K))


WRONG_SIGNS = {
    "suppresses every other class": all_others,
    "climbs every tagged class": lambda c, tag_K: 2 * tag_K.int() - 1,
    "wrong way round": only_tagged,
    "Class c itself": lambda c, tag_K: tag_K.int() - 1,
    "Nothing is suppressed": nothing,
    "All signs": lambda c, tag_K: -signs(c, tag_K),
    "The signs differ": lambda c, tag_K: torch.full((len(tag_K),), 2),
}


@pytest.mark.parametrize("hint", WRONG_SIGNS)
def test_all_wrong_signs_get_their_hint(hint):
    for _ in OFTEN:
        with pytest.raises(WrongAnswer, match=hint):
            check_signs(WRONG_SIGNS[hint])


CHECKS = [check_pull, check_lambda, check_signs]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("blank", [None, ..., lambda *arguments: None, lambda *arguments: ...])
def test_blank_work_is_refused(check, blank):
    with pytest.raises(WrongAnswer, match="no answer yet|returns nothing"):
        check(blank)


@pytest.mark.parametrize("check", CHECKS)
def test_answers_of_another_kind_are_refused(check):
    with pytest.raises(WrongAnswer, match="function itself"):
        check(1.0)
    with pytest.raises(WrongAnswer, match="stops with ZeroDivisionError"):
        check(lambda *arguments: 1 / 0)
    with pytest.raises(WrongAnswer):
        check(lambda *arguments: torch.zeros(3, 3, 3, 3))
