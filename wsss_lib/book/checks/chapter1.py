"""Checks of chapter 1, the problem and the data."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wsss_lib.book.checks.answers import (
    WrongAnswer,
    called,
    close,
    fresh_generator,
    hint_for,
    number,
    right,
    tensor,
)
from wsss_lib.data.layout import VOID
from wsss_lib.learning.metrics import confusion_matrix, iou_per_class
from wsss_lib.methods.seeds import labels_from_map

PRECISION, RECALL = 0.8, 0.5  # of exercise 1.4


def check_iou(answer: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """Exercise 1.2: the IoU of each label, from a true mask and a predicted one.

    Args:
        answer: takes ``truth_HW`` and ``prediction_HW`` (int64, void 255 in the truth alone; every
            label occurs in the truth) and the number of labels; returns ``iou_L``, fractions.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for H, W, L in ((12, 15, 3), (16, 16, 4), (20, 14, 6)):
        truth_HW, prediction_HW = two_masks(H, W, L, generator)
        iou_L = iou_per_class(confusion_matrix(truth_HW, prediction_HW, L))
        result = called(answer, truth_HW, prediction_HW, L)
        if isinstance(result, float) or getattr(result, "ndim", None) == 0:
            raise WrongAnswer("One number for all labels: return one IoU for each label.")
        mine_L = tensor(result, (L,))
        if not close(mine_L, iou_L):
            raise WrongAnswer(
                hint_for(mine_L, mistakes_in_iou(truth_HW, prediction_HW, L))
                or "The values differ. For each label: the pixels that both masks give it, divided by "
                "the pixels that at least one of them gives it; void pixels left out."
            )
    right("Shared pixels over joint pixels, label by label.")


def mistakes_in_iou(
    truth_HW: Tensor, prediction_HW: Tensor, L: int
) -> dict[str, tuple[Tensor, ...]]:
    """What the common mistakes give, by the hint for each."""
    confusion_LL = confusion_matrix(truth_HW, prediction_HW, L).double()
    hit_L, true_L = confusion_LL.diagonal(), confusion_LL.sum(1)
    predicted_L = confusion_LL.sum(0)
    union_L = true_L + predicted_L - hit_L
    everywhere_L = torch.stack([(prediction_HW == label).sum() for label in range(L)])
    void_as_background = confusion_matrix(truth_HW.where(truth_HW != VOID, 0), prediction_HW, L)
    return {
        "This counts predictions on void pixels. Where the truth is 255 nobody knows the label: leave "
        "those pixels out of everything.": (
            hit_L / (true_L + everywhere_L - hit_L),
            iou_per_class(void_as_background),
        ),
        "This divides by the sum of the two areas, so the shared pixels count twice in it. Subtract "
        "them once.": (hit_L / (true_L + predicted_L),),
        "This is the Dice coefficient (also called F1): twice the shared pixels over the sum of the two "
        "areas. The IoU divides by the union.": (2 * hit_L / (true_L + predicted_L),),
        "This divides by the true pixels alone: it is the recall. Pixels predicted by mistake must "
        "cost something too.": (hit_L / true_L,),
        "This divides by the predicted pixels alone: it is the precision. Pixels that were missed must "
        "cost something too.": (hit_L / predicted_L,),
        "This divides by the number of all pixels. Divide by the union of this label.": (
            hit_L / truth_HW.numel(),
            hit_L / confusion_LL.sum(),
        ),
        "These are percentages: return fractions.": (100 * hit_L / union_L,),
        "This is 1 minus the IoU.": (1 - hit_L / union_L,),
    }


def check_threshold_labels(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise 1.3: the mask of a photo from its maps and a background threshold.

    Args:
        answer: takes ``map_kHW``, ``classes_k`` (counted from 0 without background) and the
            threshold; returns ``label_HW``: background 0, class c as c + 1. At no pixel are the
            largest two maps equal.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for k, H, W, threshold in ((2, 9, 12, 0.5), (1, 8, 8, 0.25), (3, 11, 7, 0.375)):
        classes_k = torch.randperm(7, generator=generator)[:k] + 1
        map_kHW = torch.rand(k, H, W, generator=generator)
        map_kHW[:, :2] *= threshold  # rows of background
        map_kHW[:, 2] = 0.5 * map_kHW[:, 2] * threshold
        map_kHW[-1, 2] = threshold  # the largest map is exactly at the threshold
        label_HW = labels_from_map(map_kHW, classes_k, threshold)
        mine_HW = tensor(called(answer, map_kHW, classes_k, threshold), (H, W))
        if not close(mine_HW, label_HW):
            raise WrongAnswer(
                hint_for(mine_HW, mistakes_in_labels(map_kHW, classes_k, threshold))
                or "The labels differ. For each pixel: which map is the largest, is it above the "
                "threshold, and which class is that map of?"
            )
    right("The largest map decides the class, the threshold whether there is one.")


def mistakes_in_labels(
    map_kHW: Tensor, classes_k: Tensor, threshold: float
) -> dict[str, tuple[Tensor, ...]]:
    """What the common mistakes give, by the hint for each."""
    score_HW, winner_HW = map_kHW.max(dim=0)
    label_HW, sure_HW = classes_k[winner_HW] + 1, score_HW > threshold
    overwritten_HW = torch.zeros_like(label_HW)
    for each_HW, c in zip(map_kHW, classes_k):
        overwritten_HW[each_HW > threshold] = c + 1
    first_HW = torch.zeros_like(label_HW)
    for each_HW, c in zip(map_kHW.flip(0), classes_k.flip(0)):
        first_HW[each_HW > threshold] = c + 1
    at_least_HW = score_HW >= threshold
    return {
        "A pixel whose largest map equals the threshold is background: use >, not >=.": (
            label_HW * at_least_HW,
        ),
        "Label 0 is the background, so class c has the label c + 1.": (
            classes_k[winner_HW] * sure_HW,
            classes_k[winner_HW] * at_least_HW,
        ),
        "This is the number of the map, not of its class: look it up in classes_k.": (
            (winner_HW + 1) * sure_HW,
            (winner_HW + 1) * at_least_HW,
            winner_HW * sure_HW,
        ),
        "There is no background: where no map is above the threshold the label is 0.": (label_HW,),
        "Where several maps are above the threshold, the last of them wins here. The largest "
        "should.": (overwritten_HW,),
        "Where several maps are above the threshold, the first of them wins here. The largest "
        "should.": (first_HW,),
        "This is the wrong way round: background is where the largest map is low.": (
            label_HW * ~sure_HW,
            label_HW * (score_HW < threshold),
        ),
        "This says where there is an object, but not of which class.": (sure_HW, at_least_HW),
        "Only pixels beyond all doubt are background here: compare the *largest* map with the "
        "threshold, not the sum of the maps.": (label_HW * (map_kHW.sum(0) > threshold),),
    }


def check_precision_recall(answer: float) -> None:
    """Exercise 1.4: the IoU of a class with a precision of 0.8 and a recall of 0.5.

    Args:
        answer: a fraction, right to two decimals at least.

    Raises:
        WrongAnswer: with a hint.
    """
    value = number(answer)
    if abs(value - 1 / (1 / PRECISION + 1 / RECALL - 1)) < 0.005:
        right("1/IoU = 1/precision + 1/recall - 1: below the smaller of the two.")
        return
    mistakes = {
        "That is the Dice coefficient (F1), the harmonic mean of the two. The IoU is lower.": (
            2 / (1 / PRECISION + 1 / RECALL),
        ),
        "That is the product of the two. Take 100 true pixels: how many are hit, how many predicted, "
        "how many are in the union?": (PRECISION * RECALL,),
        "That is the mean of the two. The IoU is below the smaller of them: an error of either kind "
        "enlarges the union.": ((PRECISION + RECALL) / 2, (PRECISION * RECALL) ** 0.5),
        "That is one of the two. Both kinds of error count at once.": (RECALL, PRECISION),
        "A fraction, not a percentage, please.": (100 / (1 / PRECISION + 1 / RECALL - 1),),
    }
    raise WrongAnswer(
        hint_for(value, mistakes, tolerance=0.006)
        or "No. Take 100 true pixels. The recall says how many are hit, the precision then how many "
        "are predicted; so how many pixels are in the union?"
    )


def two_masks(H: int, W: int, L: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A true mask that holds every label and some void, and a prediction that is often right."""
    truth = torch.randint(L, (H * W,), generator=generator)
    truth[:L] = torch.arange(L)
    wrong = torch.rand(H * W, generator=generator) < 0.4
    prediction = truth.where(~wrong, torch.randint(L, (H * W,), generator=generator))
    truth[L:][torch.rand(H * W - L, generator=generator) < 0.15] = VOID
    place = torch.randperm(H * W, generator=generator)
    return truth[place].view(H, W), prediction[place].view(H, W)
