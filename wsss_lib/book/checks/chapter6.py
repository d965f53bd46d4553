"""Checks of chapter 6, the threshold is the bottleneck."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from wsss_lib.book.checks.answers import (
    WrongAnswer,
    called,
    close,
    fresh_generator,
    hint_for,
    is_nan,
    number,
    right,
    tensor,
)
from wsss_lib.data.layout import VOID
from wsss_lib.methods.amn import masked_mean


def check_smoothed_target(answer: Callable[[int, float, int], Tensor]) -> None:
    """Exercise 6.2: the softened target of one label.

    Args:
        answer: takes the label, epsilon and the number of labels; returns ``q_L``.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for L in (4, 9, 21):
        middle = int(torch.randint(1, L - 1, (), generator=generator))
        for label in (middle, 0, L - 1):
            smoothing = float(0.1 + 0.3 * torch.rand((), generator=generator))
            own_L = torch.nn.functional.one_hot(torch.tensor(label), L).double()
            target_L = (1 - smoothing) * own_L + smoothing / (L - 1) * (1 - own_L)
            mine_L = tensor(called(answer, label, smoothing, L), (L,))
            if not close(mine_L, target_L):
                raise WrongAnswer(
                    hint_for(mine_L, mistakes_in_target(own_L, smoothing))
                    or other_mistake_in_target(mine_L, label)
                )
    right("The label keeps 1 - epsilon, the others share the rest, and it all adds up to 1.")


def mistakes_in_target(own_L: Tensor, smoothing: float) -> dict[str, Tensor]:
    """What the common mistakes give, by the hint for each."""
    L = len(own_L)
    kept_L = (1 - smoothing) * own_L
    return {
        "This is the hard target: epsilon has no effect.": own_L,
        "The label gets a share of epsilon on top of its 1 - epsilon. That is how label smoothing was "
        "published first, but in the equation above only the *other* labels share epsilon.": (
            kept_L + smoothing / L
        ),
        "Each of the other labels gets all of epsilon. They share it: divide by their number.": (
            kept_L + smoothing * (1 - own_L)
        ),
        "The other labels are L - 1, not L: the label itself is none of them.": (
            kept_L + smoothing / L * (1 - own_L)
        ),
        "The two are the wrong way round: epsilon is what the label gives away.": (
            smoothing * own_L + (1 - smoothing) / (L - 1) * (1 - own_L)
        ),
        "What the label gives away has to go to the others: the target adds up to 1.": kept_L,
    }


def other_mistake_in_target(answer_L: Tensor, label: int) -> str:
    """A hint for an answer that is none of the common mistakes."""
    if int(answer_L.argmax()) != label:
        return (
            f"The largest value is that of label {int(answer_L.argmax())}, but the label is {label}. "
            "The background is label 0 and counts like any other."
        )
    if not close(answer_L.sum(), 1):
        return f"The target adds up to {float(answer_L.sum()):.3f}. It is a distribution, so to 1."
    return "The label gets 1 - epsilon, and each of the others the same share of epsilon."


def check_balanced_loss(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 6.3: the loss of a batch in which background and foreground weigh the same.

    Args:
        answer: takes ``loss_Bhw`` and ``label_Bhw`` (int64; background 0, void 255); returns a number.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for label_Bhw in label_batches(generator):
        background_Bhw, foreground_Bhw = label_Bhw == 0, (label_Bhw > 0) & (label_Bhw != VOID)
        by_photo_B = 0.2 + torch.rand(len(label_Bhw), 1, 1, generator=generator)
        noise_Bhw = torch.rand(label_Bhw.shape, generator=generator)
        loss_Bhw = by_photo_B + noise_Bhw * (1 + label_Bhw % 7)  # no two means are alike
        halves = masked_mean(loss_Bhw, background_Bhw), masked_mean(loss_Bhw, foreground_Bhw)
        result = called(answer, loss_Bhw, label_Bhw)
        if is_nan(result):
            missing = "foreground" if background_Bhw.any() else "background"
            raise WrongAnswer(
                f"Your answer is not a number for a batch without any {missing}: the mean over nothing is "
                "0 / 0. A half without cells counts as zero."
            )
        mine = number(result)
        if not close(mine, sum(halves) / 2):
            raise WrongAnswer(
                hint_for(mine, mistakes_in_balance(loss_Bhw, label_Bhw))
                or "The values differ. Take the mean where the label is 0, the mean where it is a class, "
                "and half of each."
            )
    right("Both halves weigh the same, void is in neither, and a missing half counts as zero.")


def label_batches(generator: torch.Generator) -> list[Tensor]:
    """Seeds of several shapes: with void, without void, without foreground or background, all void."""

    def labels(low: int, *shape: int) -> Tensor:
        label_Bhw = torch.randint(low, 4, shape, generator=generator)
        label_Bhw[0, 0, :3] = torch.tensor([max(low, 0), 1, 2])
        return label_Bhw

    plain_Bhw = labels(-4, 3, 6, 7).clamp(min=0)  # mostly background
    with_void_Bhw = labels(-4, 2, 8, 5).clamp(min=0)
    with_void_Bhw[:, 2:4] = VOID
    background_Bhw = torch.zeros(2, 5, 4, dtype=torch.int64)
    foreground_Bhw = labels(1, 2, 4, 4)
    background_Bhw[0, 1] = foreground_Bhw[1, 1] = VOID
    all_void_Bhw = torch.full((1, 3, 3), VOID)
    return [with_void_Bhw, plain_Bhw, background_Bhw, foreground_Bhw, all_void_Bhw]


def mistakes_in_balance(loss_Bhw: Tensor, label_Bhw: Tensor) -> dict[str, Tensor]:
    """What the common mistakes give, by the hint for each."""
    void_Bhw, background_Bhw = label_Bhw == VOID, label_Bhw == 0
    foreground_Bhw = ~void_Bhw & ~background_Bhw
    groups = background_Bhw, foreground_Bhw
    background, foreground = (masked_mean(loss_Bhw, group_Bhw) for group_Bhw in groups)
    labels = [label_Bhw == label for label in label_Bhw[~void_Bhw].unique()]
    each_label = [masked_mean(loss_Bhw, label_Bhw) for label_Bhw in labels]
    each_photo = [
        masked_mean(loss_hw, group_hw)
        for group_Bhw in groups
        for loss_hw, group_hw in zip(loss_Bhw, group_Bhw)
    ]
    mistakes = {
        "This is the mean over all cells that have a label: where most of them are background, so is most "
        "of the loss.": masked_mean(loss_Bhw, ~void_Bhw),
        "Void counts as foreground here. 255 is above 0, but it is no class.": (
            (background + masked_mean(loss_Bhw, ~background_Bhw)) / 2
        ),
        "Void counts as background here. It is in neither half.": (
            (masked_mean(loss_Bhw, ~foreground_Bhw) + foreground) / 2
        ),
        "This is the mean over all cells, those without a label among them.": loss_Bhw.mean(),
        "Each label has the same weight here. The equation knows two groups only: the background, and all "
        "of the foreground.": sum(each_label) / max(len(labels), 1),
        "This takes the mean in each photo first. In the equation it is taken over the cells of the whole "
        "batch.": sum(each_photo) / len(each_photo),
        "This adds up the two means. The equation takes half of each.": background + foreground,
        "This is the foreground alone.": foreground,
        "This is the background alone.": background,
    }
    if not all(group_Bhw.any() for group_Bhw in groups):
        half = "A half without cells counts as zero, and the other one still weighs one half."
        mistakes = {half: background + foreground, **mistakes}
    return mistakes


def check_smoothing_for(answer: Callable[[float, int], float]) -> None:
    """Exercise 6.4: the epsilon whose optimum has a given lead.

    Args:
        answer: takes the lead of the label's logit and the number of labels; returns epsilon.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for L in (9, 2, 21, 81):
        for lead in (float(0.5 + 3 * torch.rand((), generator=generator)), 0.0):
            ratio = math.exp(lead)
            mistakes = {
                "This is 1 - epsilon, what the label keeps.": ratio / (L - 1 + ratio),
                "The number of labels is missing: the L - 1 others share epsilon.": 1 / (1 + ratio),
                "The others that share epsilon are L - 1, not L.": L / (L + ratio),
                "A larger lead needs a *smaller* epsilon: check the sign.": (
                    (L - 1) / (L - 1 + 1 / ratio)
                ),
                "This is the share of one other label. Epsilon is what all of them get together.": (
                    1 / (L - 1 + ratio)
                ),
                "If all labels are alike, the label keeps 1 / L. So what does it give away?": (
                    0.0 if lead == 0 else math.nan
                ),
            }
            mine = number(called(answer, lead, L))
            if not close(mine, (L - 1) / (L - 1 + ratio)):
                raise WrongAnswer(
                    hint_for(mine, mistakes)
                    or "The value differs. Start from e^lead = (1 - epsilon)(L - 1) / epsilon and solve it "
                    "for epsilon."
                )
    right("Without a lead all labels are alike: epsilon is then (L - 1) / L.")
