"""The checks of chapter 3: every right answer passes, every common mistake gets its hint."""

import numpy as np
import pytest
import torch

from wsss_lib.book.checks.answers import WrongAnswer
from wsss_lib.book.checks.chapter3 import check_gradcam_weights, check_largest_change, check_step

TINY = 1e-12


# the step


def step_with_tensors(x, gradient, xi):
    dims = (1, 2, 3, 4)
    moved = x + xi * gradient / (gradient.abs().amax(dims, keepdim=True) + TINY)
    return torch.minimum(torch.maximum(moved, x.amin(dims, True)), x.amax(dims, True))


def step_with_a_loop(x, gradient, xi):
    moved = []
    for image, slope in zip(x, gradient):
        slope = slope / slope.abs().max().clamp(min=TINY)
        moved.append((image + xi * slope).clamp(image.min(), image.max()))
    return torch.stack(moved)


def step_with_numpy_in_place(x, gradient, xi):
    x, gradient = x.numpy().astype(np.float64), gradient.numpy().astype(np.float64)
    for p in range(len(x)):
        low, high = x[p].min(), x[p].max()
        if np.abs(gradient[p]).max() > 0:
            x[p] += xi * gradient[p] / np.abs(gradient[p]).max()
        x[p] = x[p].clip(low, high)
    return x


@pytest.mark.parametrize("answer", [step_with_tensors, step_with_a_loop, step_with_numpy_in_place])
def test_right_steps_pass(answer, capsys):
    check_step(answer)
    assert "Right." in capsys.readouterr().out


def own_range(moved, x):
    dims = (1, 2, 3, 4)
    return moved.clamp(x.amin(dims, True), x.amax(dims, True))


def largest(gradient, dims=(1, 2, 3, 4)):
    return gradient.abs().amax(dims, keepdim=True)


WRONG_STEPS = {
    "downhill": lambda x, g, xi: own_range(x - xi * g / largest(g), x),
    "sign of the gradient": lambda x, g, xi: own_range(x + xi * g.sign(), x),
    "whole batch, so": lambda x, g, xi: own_range(x + xi * g / g.abs().max(), x),
    "each view by a maximum": lambda x, g, xi: own_range(x + xi * g / largest(g, (2, 3, 4)), x),
    "not by the largest absolute": lambda x, g, xi: own_range(
        x + xi * g / g.amax((1, 2, 3, 4), keepdim=True), x
    ),
    "length of the gradient": lambda x, g, xi: own_range(
        x + xi * g / g.square().sum((1, 2, 3, 4), keepdim=True).sqrt(), x
    ),
    "not normalised yet": lambda x, g, xi: x + xi * g,
    "clamp is missing": lambda x, g, xi: x + xi * g / largest(g),
    "range of the whole batch": lambda x, g, xi: (x + xi * g / largest(g)).clamp(x.min(), x.max()),
    "clamps each view": lambda x, g, xi: (x + xi * g / largest(g)).clamp(
        x.amin((2, 3, 4), keepdim=True), x.amax((2, 3, 4), keepdim=True)
    ),
    "between 0 and 1": lambda x, g, xi: (x + xi * g / largest(g)).clamp(0, 1),
    "0 / 0": lambda x, g, xi: own_range(x + xi * g / largest(g), x),
    "values differ": lambda x, g, xi: x,
}


@pytest.mark.parametrize("hint", WRONG_STEPS)
@pytest.mark.parametrize("attempt", range(3))
def test_wrong_steps_get_their_hint(hint, attempt):
    with pytest.raises(WrongAnswer, match=hint):
        check_step(WRONG_STEPS[hint])


# the weights of the Grad-CAM


def weights_in_closed_form(logit_Vhw, weight_C):
    share_V = (logit_Vhw > 0).flatten(1).sum(1).double()
    share_V = share_V / max(1, share_V.sum())
    return share_V[:, None] * weight_C / (weight_C > 0).sum()


def weights_by_a_backward_pass(logit_Vhw, weight_C):
    # features whose logits are those: any will do, the gradient does not depend on them
    direction_C = weight_C.double() / weight_C.double().square().sum()
    feature_VChw = (direction_C[None, :, None, None] * logit_Vhw.double()[:, None]).requires_grad_()
    logit_Vhw = (feature_VChw * weight_C[None, :, None, None]).sum(1)
    (gradient,) = torch.autograd.grad(logit_Vhw.relu().sum(), feature_VChw)
    return gradient.sum(dim=(2, 3)) / (gradient > 0).sum().clamp(min=1)


def weights_with_numpy_loops(logit_Vhw, weight_C):
    logit, weight = logit_Vhw.numpy(), weight_C.numpy()
    counts = [int((view > 0).sum()) for view in logit]
    known = sum(w > 0 for w in weight)
    return np.array([[n * w / (known * max(sum(counts), 1)) for w in weight] for n in counts])


@pytest.mark.parametrize(
    "answer", [weights_in_closed_form, weights_by_a_backward_pass, weights_with_numpy_loops]
)
def test_right_weights_pass(answer, capsys):
    check_gradcam_weights(answer)
    assert "Right." in capsys.readouterr().out


def counts(logit_Vhw):
    return (logit_Vhw > 0).sum(dim=(1, 2))[:, None].float()


def share(logit_Vhw):
    return counts(logit_Vhw) / counts(logit_Vhw).sum().clamp(min=1)


def known(weight_C):
    return (weight_C > 0).sum()


def strength(logit_Vhw):
    total_V1 = logit_Vhw.relu().sum(dim=(1, 2))[:, None]
    return total_V1 / total_V1.sum().clamp(min=1e-12)


WRONG_WEIGHTS = {
    "Both views weigh the same": lambda z, w: (w / known(w)).expand(2, -1),
    "share of the view is right": lambda z, w: share(z) * w,
    "sum of the gradient": lambda z, w: counts(z) * w,
    "mean over all cells": lambda z, w: counts(z) * w / z[0].numel(),
    "number of all weights": lambda z, w: share(z) * w / len(w),
    "Negative weights are dropped": lambda z, w: share(z) * w.relu() / known(w),
    "how strong the evidence": lambda z, w: strength(z) * w / known(w),
    "0 / 0": lambda z, w: counts(z) / counts(z).sum() * w / known(w),
    "for each view and each channel": lambda z, w: w / known(w),
    "values differ": lambda z, w: torch.ones(2, len(w)),
}


@pytest.mark.parametrize("hint", WRONG_WEIGHTS)
@pytest.mark.parametrize("attempt", range(3))
def test_wrong_weights_get_their_hint(hint, attempt):
    with pytest.raises(WrongAnswer, match=hint):
        check_gradcam_weights(WRONG_WEIGHTS[hint])


# the largest change


@pytest.mark.parametrize("answer", [121.5, 26 * 0.08 * 0.229 * 255, 121, torch.tensor(121.46)])
def test_the_right_number_passes(answer, capsys):
    check_largest_change(answer)
    assert "Right." in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, hint",
    [
        (126.1, "One step too many"),
        (4.67, "one step"),
        (530.4, "normalised photo"),
        (2.08, "normalised units"),
        (0.476, "fraction"),
        (118.81, "green"),
        (119.34, "blue"),
        (9.083, "multiplies"),
        (2316.2, "multiplies"),
        (77, "How many steps"),
        ("many", "one number"),
    ],
)
def test_wrong_numbers_get_their_hint(answer, hint):
    with pytest.raises(WrongAnswer, match=hint):
        check_largest_change(answer)


# no answer


@pytest.mark.parametrize("check", [check_step, check_gradcam_weights, check_largest_change])
@pytest.mark.parametrize("blank", [None, ...])
def test_a_blank_is_no_answer(check, blank):
    with pytest.raises(WrongAnswer, match="no answer yet"):
        check(blank)


@pytest.mark.parametrize("check", [check_step, check_gradcam_weights])
def test_an_empty_function_is_no_answer(check):
    def empty(*arguments):
        raise NotImplementedError

    with pytest.raises(WrongAnswer, match="no answer yet"):
        check(empty)
    with pytest.raises(WrongAnswer, match="returns nothing"):
        check(lambda *arguments: None)
    with pytest.raises(WrongAnswer, match="without calling"):
        check(torch.zeros(3))
