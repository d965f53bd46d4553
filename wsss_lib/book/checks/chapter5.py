"""Checks of chapter 5, "From maps to seeds"."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from wsss_lib.book.checks.answers import (
    WrongAnswer,
    called,
    close,
    fresh_generator,
    refuse_blank,
    right,
    tensor,
)
from wsss_lib.data.layout import VOID
from wsss_lib.methods.crf import DenseCRF
from wsss_lib.methods.seeds import confident


def check_mean_field_step(step: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> None:
    """Checks one mean-field update, with one kernel.

    Args:
        step: takes ``q_Ln``, the probabilities of the labels; ``unary_Ln``; ``kernel_nn``, the kernel
            of all pairs of pixels, the pixel itself included, not yet normalised; and its weight, a
            number. Returns the next ``q_Ln``.

    Raises:
        WrongAnswer: it is not the update; the message is a hint.
    """
    for labels, pixels in ((2, 9), (4, 13)):
        q_Ln, unary_Ln, kernel_nn, weight = _scene(labels, pixels)
        given = (q_Ln, unary_Ln, kernel_nn, weight)
        answer_Ln = tensor(called(step, *given), (labels, pixels))
        if close(answer_Ln, _update(*given)):
            continue
        for hint, wrong_Ln in _wrong_updates(*given):
            if close(answer_Ln, wrong_Ln):
                raise WrongAnswer(hint)
        if not close(answer_Ln.sum(dim=0), torch.ones(pixels)):
            raise WrongAnswer("At each pixel the probabilities of all labels should add up to 1.")
        raise WrongAnswer(
            "These are probabilities, but not the right ones. In order: normalise the kernel, take "
            "the weighted sum of the other pixels' q, subtract the unary, softmax."
        )
    right("This line, ten times over, is all that a dense CRF does.")


def check_confident(join: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Checks how two label maps become a seed.

    Args:
        join: takes ``foreground_HW`` and ``background_HW``, refined labels of the high and of the low
            threshold, int64, 0 background. Returns the seed ``seed_HW`` with 255 for unsure.

    Raises:
        WrongAnswer: it is not the seed; the message is a hint.
    """
    for size in ((9, 8), (7, 12)):
        foreground_HW, background_HW = _two_label_maps(size)
        answer_HW = tensor(called(join, foreground_HW, background_HW), size)
        seed_HW = confident(foreground_HW, background_HW)
        if close(answer_HW, seed_HW):
            continue
        for hint, wrong_HW in _wrong_seeds(foreground_HW, background_HW, seed_HW):
            if close(answer_HW, wrong_HW):
                raise WrongAnswer(hint)
        unsure = seed_HW == VOID
        if close(answer_HW[~unsure], seed_HW[~unsure]):
            raise WrongAnswer(
                f"What is decided is right. Unsure pixels should be void, which is written {VOID}."
            )
        raise WrongAnswer(
            "Go through the cases at one pixel: the high threshold says a class; both say "
            "background; only the low threshold says a class."
        )
    right("Two questions, each asked at the threshold at which its answer can be trusted.")


def check_scaled(scaled: Callable[[DenseCRF, float], DenseCRF]) -> None:
    """Checks the settings of a CRF for a photo that has been enlarged.

    Args:
        scaled: takes the settings that suit a photo, and by how much its sides have become longer.
            Returns the settings that suit the larger photo.

    Raises:
        WrongAnswer: they do not; the message is a hint.
    """
    for _ in range(2):
        draw = torch.rand(6, generator=fresh_generator()).tolist()
        crf = DenseCRF(
            gaussian_sxy=1 + 4 * draw[0],
            gaussian_compat=2 + 3 * draw[1],
            bilateral_sxy=20 + 40 * draw[2],
            bilateral_srgb=4 + 8 * draw[3],
            bilateral_compat=6 + 8 * draw[4],
        )
        factor = 2 + 2 * draw[5]
        answer = called(scaled, crf, factor)
        refuse_blank(answer)
        if not isinstance(answer, DenseCRF):
            raise WrongAnswer(f"Return a DenseCRF, not {type(answer).__name__}.")
        _compare_settings(crf, answer, factor)
    right("Places are measured in pixels of the photo, colours are not.")


def _compare_settings(crf: DenseCRF, answer: DenseCRF, factor: float) -> None:
    """Raises `WrongAnswer` for the first setting that does not fit."""
    for name in ("gaussian_sxy", "bilateral_sxy"):
        old, new = getattr(crf, name), getattr(answer, name)
        if close(new, old / factor):
            raise WrongAnswer(
                f"{name} became smaller. In the larger photo things are farther apart."
            )
        if close(new, old):
            raise WrongAnswer(f"{name} is a length in pixels, and lengths have changed.")
        if not close(new, old * factor):
            raise WrongAnswer(f"{name} is a length: what becomes of a length in the larger photo?")
    if not close(answer.bilateral_srgb, crf.bilateral_srgb):
        raise WrongAnswer(
            "bilateral_srgb is a difference of colours. Does a larger photo change it?"
        )
    for name in ("gaussian_compat", "bilateral_compat"):
        if not close(getattr(answer, name), getattr(crf, name)):
            raise WrongAnswer(
                f"{name} has changed. There are more pixels now, but the kernel is normalised: the "
                "votes that reach a pixel still add up to about 1."
            )
    for field in dataclasses.fields(DenseCRF):
        if getattr(answer, field.name) != getattr(crf, field.name) and "_" not in field.name:
            raise WrongAnswer(f"{field.name} should stay as it was.")


def _scene(labels: int, pixels: int) -> tuple[Tensor, Tensor, Tensor, float]:
    """A random state of the field: probabilities, unary, kernel, weight."""
    generator = fresh_generator()
    options = {"dtype": torch.float64, "generator": generator}
    q_Ln = torch.softmax(torch.randn(labels, pixels, **options), dim=0)
    unary_Ln = -torch.log_softmax(torch.randn(labels, pixels, **options), dim=0)
    # unevenly spread, so that rows of the kernel have different sums
    place_n = 6 * torch.rand(pixels, **options).square()
    kernel_nn = torch.exp(-0.5 * (place_n[:, None] - place_n).square())
    return q_Ln, unary_Ln, kernel_nn, 2 + float(torch.rand(1, **options))


def _update(q_Ln: Tensor, unary_Ln: Tensor, kernel_nn: Tensor, weight: float) -> Tensor:
    return torch.softmax(weight * q_Ln @ _symmetric(kernel_nn) - unary_Ln, dim=0)


def _symmetric(kernel_nn: Tensor) -> Tensor:
    scale_n = kernel_nn.sum(dim=1).rsqrt()
    return scale_n[:, None] * kernel_nn * scale_n


def _wrong_updates(
    q_Ln: Tensor, unary_Ln: Tensor, kernel_nn: Tensor, weight: float
) -> list[tuple[str, Tensor]]:
    """What comes of each common mistake, and the hint."""
    message_Ln = weight * q_Ln @ _symmetric(kernel_nn)
    energy_Ln = message_Ln - unary_Ln
    others_nn = kernel_nn - torch.diag(kernel_nn.diagonal())
    raw = "The kernel is not normalised yet: D^-1/2 K D^-1/2, with D the sums of its rows."
    one_side = (
        "The kernel is divided by its row sums on one side only. Share the division: by the root of "
        "the sum of the row, and by the root of that of the column."
    )
    no_softmax = "These are not probabilities: a softmax over the labels is missing."
    rows = kernel_nn / kernel_nn.sum(dim=1, keepdim=True)

    def softmax(logit_Ln: Tensor) -> Tensor:
        return torch.softmax(logit_Ln, dim=0)

    return [
        (
            "The sign of the unary is wrong: it is a cost, minus a log probability, so a label with "
            "a high unary should become less likely.",
            softmax(message_Ln + unary_Ln),
        ),
        (
            "The sign of the message is wrong: pixels that are tied should become more alike.",
            softmax(-message_Ln - unary_Ln),
        ),
        (
            "Both signs are wrong: the likeliest label has become the least likely.",
            softmax(-energy_Ln),
        ),
        (no_softmax, energy_Ln),
        (no_softmax, energy_Ln.exp()),
        (
            "The softmax runs over the pixels. It should run over the labels, the first axis.",
            torch.softmax(energy_Ln, dim=1),
        ),
        (raw, softmax(weight * q_Ln @ kernel_nn - unary_Ln)),
        (one_side, softmax(weight * q_Ln @ rows - unary_Ln)),
        (one_side, softmax(weight * q_Ln @ rows.T - unary_Ln)),
        (
            "The kernel is divided by its sums twice: take the root of D on each side.",
            softmax(weight * q_Ln @ (rows / kernel_nn.sum(dim=0)) - unary_Ln),
        ),
        (
            "You left the pixel itself out of the sum. That is the paper; this book follows the code, "
            "which keeps it.",
            softmax(weight * q_Ln @ _symmetric(others_nn) - unary_Ln),
        ),
        ("The weight of the kernel is missing.", softmax(message_Ln / weight - unary_Ln)),
        ("The unary is missing: without it the photo's own evidence is lost.", softmax(message_Ln)),
        (
            "The message comes from the unary. It should come from q_Ln, what the pixels think now.",
            softmax(weight * softmax(-unary_Ln) @ _symmetric(kernel_nn) - unary_Ln),
        ),
    ]


def _two_label_maps(size_HW: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Random label maps in which every case occurs."""
    generator = fresh_generator()
    number = size_HW[0] * size_HW[1]
    cases = [(0, 0), (0, 1), (0, 3), (2, 2), (3, 3), (2, 0), (1, 3)]  # (high, low)
    more = torch.randint(len(cases), (number - len(cases),), generator=generator)
    order = torch.randperm(number, generator=generator)
    case_n = torch.cat([torch.arange(len(cases)), more])[order]
    high_HW, low_HW = torch.tensor(cases)[case_n].T.reshape(2, *size_HW)
    return high_HW.clone(), low_HW.clone()


def _wrong_seeds(
    foreground_HW: Tensor, background_HW: Tensor, seed_HW: Tensor
) -> list[tuple[str, Tensor]]:
    """What comes of each common mistake, and the hint."""
    no_class, nowhere = foreground_HW == 0, background_HW == 0
    either = (
        "This is background where either map says so. The high threshold says background of most of "
        "an object: only where the low one agrees may a pixel be called background."
    )
    forgotten = (
        "No pixel is unsure. A pixel that only the low threshold calls foreground should be void, "
        f"{VOID}: neither answer can be trusted there."
    )
    seed_HW = seed_HW.long()
    return [
        (forgotten, foreground_HW),
        (forgotten, background_HW),
        (forgotten, torch.where(no_class, background_HW, foreground_HW)),
        (either, torch.where(no_class | nowhere, 0, foreground_HW)),
        (
            "Where the high threshold says a class, the seed is that class, even in the rare place "
            "where the low one says background.",
            torch.where(nowhere, 0, seed_HW),
        ),
        (
            "This is unsure wherever the two maps differ. Where the high threshold says a class, that "
            "is enough: the low one is asked about background only.",
            torch.where(foreground_HW == background_HW, foreground_HW, VOID),
        ),
        (
            "The class comes from the low threshold. What the high one calls foreground is surer: "
            "take the class from there.",
            torch.where(no_class, seed_HW, background_HW),
        ),
        (
            "Background is void and void is background: look at the order of your conditions.",
            torch.where(seed_HW == VOID, 0, torch.where(seed_HW == 0, VOID, seed_HW)),
        ),
        (
            "Have the two maps changed places? The first is that of the high threshold.",
            confident(background_HW, foreground_HW).long(),
        ),
    ]
