"""The checks of chapter 5: right answers of every kind pass, each common mistake gets its hint."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from wsss_lib.book.checks.answers import WrongAnswer
from wsss_lib.book.checks.chapter5 import check_confident, check_mean_field_step, check_scaled
from wsss_lib.methods.mean_field import mean_field
from wsss_lib.methods.seeds import confident

# ── one mean-field update ──


def normalised(kernel):
    scale = 1 / kernel.sum(1).sqrt()
    return kernel * scale * scale[:, None]


def step(q, unary, kernel, weight):
    return torch.softmax(weight * (q @ normalised(kernel)) - unary, 0)


def step_in_loops(q, unary, kernel, weight):
    L, n = q.shape
    sums = kernel.sum(1)
    result = torch.zeros(L, n)
    for u in range(n):
        energy = []
        for label in range(L):
            votes = sum(kernel[u, v] / (sums[u] * sums[v]).sqrt() * q[label, v] for v in range(n))
            energy.append(weight * votes - unary[label, u])
        result[:, u] = torch.stack(energy).softmax(0)
    return result


def step_in_numpy(q, unary, kernel, weight):
    q, unary, kernel = q.numpy(), unary.numpy(), kernel.numpy()
    sums = kernel.sum(1)
    z = weight * q @ (kernel / np.sqrt(np.outer(sums, sums))) - unary
    e = np.exp(z - z.max(0))
    return e / e.sum(0)


def step_in_place(q, unary, kernel, weight):
    scale = kernel.sum(0).rsqrt()
    kernel *= scale
    kernel *= scale[:, None]
    q = torch.einsum("lv,uv->lu", q, kernel).mul_(weight).sub_(unary)
    return q.softmax(dim=0)


def step_as_potts(q, unary, kernel, weight):
    """The penalty for every other label, as in the paper: the same but for a constant at each pixel."""
    return torch.softmax(-unary - weight * ((1 - q) @ normalised(kernel)), dim=0)


def step_by_the_library(q, unary, kernel, weight):
    """`mean_field` begins with softmax(-unary): it has to be given q first."""
    k = normalised(kernel)
    answers = []

    def filtered(q_SLHW):
        answers.append(q_SLHW)
        return (q @ k).view_as(q_SLHW)

    return mean_field(unary[None, :, None], [(weight, filtered)], 1)[0, :, 0]


@pytest.mark.parametrize(
    "right",
    [
        step,
        step_in_loops,
        step_in_numpy,
        step_in_place,
        step_as_potts,
        step_by_the_library,
        lambda q, u, k, w: step(q.float(), u.float(), k.float(), w),
    ],
)
def test_right_updates_pass(right, capsys):
    for _ in range(3):
        check_mean_field_step(right)
    assert "Right" in capsys.readouterr().out


WRONG_UPDATES = {
    "sign of the unary": lambda q, u, k, w: torch.softmax(w * q @ normalised(k) + u, 0),
    "sign of the message": lambda q, u, k, w: torch.softmax(-w * q @ normalised(k) - u, 0),
    "Both signs": lambda q, u, k, w: torch.softmax(-w * q @ normalised(k) + u, 0),
    "softmax over the labels is missing": lambda q, u, k, w: w * q @ normalised(k) - u,
    "a softmax over": lambda q, u, k, w: (w * q @ normalised(k) - u).exp(),
    "runs over the pixels": lambda q, u, k, w: torch.softmax(w * q @ normalised(k) - u, 1),
    "not normalised": lambda q, u, k, w: torch.softmax(w * q @ k - u, 0),
    "on one side only": lambda q, u, k, w: torch.softmax(w * q @ (k / k.sum(1)) - u, 0),
    "one side only": lambda q, u, k, w: torch.softmax(w * q @ (k / k.sum(1)).T - u, 0),
    "sums twice": lambda q, u, k, w: torch.softmax(
        w * q @ (k / k.sum(1) / k.sum(1)[:, None]) - u, 0
    ),
    "left the pixel itself out": lambda q, u, k, w: step(q, u, k - torch.eye(len(k)), w),
    "weight of the kernel": lambda q, u, k, w: step(q, u, k, 1),
    "unary is missing": lambda q, u, k, w: torch.softmax(w * q @ normalised(k), 0),
    "comes from the unary": lambda q, u, k, w: step(torch.softmax(-u, 0), u, k, w),
    "add up to 1": lambda q, u, k, w: torch.full_like(q, 0.9),
    "not the right ones": lambda q, u, k, w: torch.full_like(q, 1 / len(q)),
    "There is no answer yet": lambda q, u, k, w: ...,
    "returns nothing": lambda q, u, k, w: None,
    "has the shape": lambda q, u, k, w: step(q, u, k, w).T,
    "stops with": lambda q, u, k, w: step(q.T, u, k, w),
}


@pytest.mark.parametrize("hint", WRONG_UPDATES)
def test_wrong_updates_get_a_hint(hint):
    with pytest.raises(WrongAnswer, match=hint):
        check_mean_field_step(WRONG_UPDATES[hint])


# ── two label maps into one seed ──


def confident_in_loops(foreground, background):
    seed = np.zeros(foreground.shape, dtype=int)
    for y, x in np.ndindex(*foreground.shape):
        if foreground[y, x] > 0:
            seed[y, x] = foreground[y, x]
        elif background[y, x] > 0:
            seed[y, x] = 255
    return seed


def confident_in_place(foreground, background):
    foreground[(foreground == 0) & (background != 0)] = 255
    return foreground


def confident_by_where(foreground, background):
    return torch.where(foreground > 0, foreground, torch.where(background == 0, 0, 255)).float()


@pytest.mark.parametrize(
    "right", [confident, confident_in_loops, confident_in_place, confident_by_where]
)
def test_right_seeds_pass(right, capsys):
    check_confident(right)
    assert "Right" in capsys.readouterr().out


WRONG_SEEDS = {
    "No pixel is unsure": lambda f, b: f,
    "No pixel": lambda f, b: b,
    "is unsure": lambda f, b: torch.where(f > 0, f, b),
    "either map": lambda f, b: torch.where((f == 0) | (b == 0), 0, f),
    "Where the high threshold says a class, the seed": lambda f, b: torch.where(
        b == 0, 0, confident(f, b)
    ),
    "wherever the two maps differ": lambda f, b: torch.where(f == b, f, 255),
    "class comes from the low": lambda f, b: torch.where(f > 0, b, torch.where(b > 0, 255, 0)),
    "order of your conditions": lambda f, b: torch.where(f > 0, f, torch.where(b > 0, 0, 255)),
    "changed places": lambda f, b: confident(b, f),
    "which is written 255": lambda f, b: confident_by_where(f, b).where(
        (f > 0) | (b == 0), torch.tensor(-1.0)
    ),
    "Go through the cases": lambda f, b: torch.zeros_like(f),
    "There is no answer yet": lambda f, b: ...,
    "has the shape": lambda f, b: f.T,
}


@pytest.mark.parametrize("hint", WRONG_SEEDS)
def test_wrong_seeds_get_a_hint(hint):
    with pytest.raises(WrongAnswer, match=hint):
        check_confident(WRONG_SEEDS[hint])


# ── the CRF of a larger photo ──


def scaled(crf, factor):
    sxy = {name: factor * getattr(crf, name) for name in ("gaussian_sxy", "bilateral_sxy")}
    return replace(crf, **sxy)


def test_right_settings_pass(capsys):
    check_scaled(scaled)
    assert "Right" in capsys.readouterr().out


WRONG_SETTINGS = {
    "gaussian_sxy became smaller": lambda crf, s: scaled(crf, 1 / s),
    "gaussian_sxy is a length in pixels": lambda crf, s: replace(
        crf, bilateral_sxy=crf.bilateral_sxy * s
    ),
    "bilateral_sxy is a length in pixels": lambda crf, s: replace(
        crf, gaussian_sxy=crf.gaussian_sxy * s
    ),
    "what becomes of a length": lambda crf, s: scaled(crf, s**2),
    "bilateral_srgb is a difference": lambda crf, s: replace(
        scaled(crf, s), bilateral_srgb=crf.bilateral_srgb * s
    ),
    "bilateral_compat has changed": lambda crf, s: replace(
        scaled(crf, s), bilateral_compat=crf.bilateral_compat / s**2
    ),
    "gaussian_compat has changed": lambda crf, s: replace(
        scaled(crf, s), gaussian_compat=crf.gaussian_compat / s**2
    ),
    "iterations should stay": lambda crf, s: replace(scaled(crf, s), iterations=20),
    "confidence should stay": lambda crf, s: replace(scaled(crf, s), confidence=0.9),
    "Return a DenseCRF": lambda crf, s: 2.0,
    "returns nothing": lambda crf, s: None,
    "a length in pixels": lambda crf, s: crf,
}


@pytest.mark.parametrize("hint", WRONG_SETTINGS)
def test_wrong_settings_get_a_hint(hint):
    with pytest.raises(WrongAnswer, match=hint):
        check_scaled(WRONG_SETTINGS[hint])


@pytest.mark.parametrize("check", [check_mean_field_step, check_confident, check_scaled])
@pytest.mark.parametrize("blank", [None, ...])
def test_blank_answers_are_refused(check, blank):
    with pytest.raises(WrongAnswer, match="no answer yet"):
        check(blank)


def test_checks_leave_the_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check_mean_field_step(step)
    check_confident(confident)
    check_scaled(scaled)
    assert torch.equal(torch.rand(2), expected)
