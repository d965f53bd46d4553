"""Checks of chapter 2, the CAM classifier."""

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
from wsss_lib.learning.metrics import average_precision
from wsss_lib.methods.cam import max_normalised


def check_cam(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 2.2: class activation maps from features and head weights.

    Args:
        answer: takes ``feature_Chw`` and ``weight_KC``, returns ``map_Khw`` in [0, 1].

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for C, K, h, w in ((6, 3, 5, 7), (4, 2, 6, 6)):
        feature_Chw = 3 * torch.rand(C, h, w, generator=generator)
        weight_KC = 0.5 * torch.randn(K, C, generator=generator)
        weight_KC[:, 0], weight_KC[:, 1] = 2, -2  # every class is for some cells, against others
        compare_cam(called(answer, feature_Chw, weight_KC), feature_Chw, weight_KC)
    weight_KC[0] = -1 - torch.rand(C, generator=generator)
    compare_cam(called(answer, feature_Chw, weight_KC), feature_Chw, weight_KC)
    right("The head, moved in front of the pooling, is all that a CAM is.")


def compare_cam(answer: object, feature_Chw: Tensor, weight_KC: Tensor) -> None:
    """Compares one answer with the map, and with what the common mistakes give."""
    logit_Khw = torch.einsum("kc,chw->khw", weight_KC, feature_Chw)
    true_Khw = max_normalised(logit_Khw.relu())
    if isinstance(answer, Tensor) and answer.ndim and answer.numel() == len(weight_KC):
        raise WrongAnswer(
            "One number for each class: that is a score. Leave the pooling out: the weights go onto "
            "the features of every cell."
        )
    if isinstance(answer, Tensor) and answer.isnan().any():
        raise WrongAnswer(
            "0 / 0: one class has no cell with a positive logit, and its maximum is 0. Its map "
            "should be 0 everywhere; a tiny number added to the maximum is enough."
        )
    map_Khw = tensor(answer, true_Khw.shape)
    if close(map_Khw, true_Khw):
        return
    peak_K11 = logit_Khw.amax(dim=(1, 2), keepdim=True)
    low_K11 = logit_Khw.amin(dim=(1, 2), keepdim=True)
    kept_Khw = torch.einsum("kc,chw->khw", weight_KC.relu(), feature_Chw)
    mistakes = {
        "There are negative values: a cell that speaks against the class should be 0. Where does the "
        "ReLU go?": (logit_Khw / peak_K11, logit_Khw),
        "This divides all maps by one maximum, the largest of all classes. Each map has its own.": (
            logit_Khw.relu() / logit_Khw.relu().max(),
        ),
        "This stretches the logits from minimum to maximum, so that cells which speak against the "
        "class become positive. Cut at 0, then divide by the maximum.": (
            (logit_Khw - low_K11) / (peak_K11 - low_K11),
        ),
        "The ReLU is right, but the map still has to be divided by its maximum.": (
            logit_Khw.relu(),
        ),
        "This drops the negative weights. They are evidence too: first sum all channels, then apply "
        "the ReLU.": (max_normalised(kept_Khw), kept_Khw),
        "A sigmoid maps a logit of 0 to one half. A CAM uses a ReLU and the maximum instead.": (
            logit_Khw.sigmoid(),
        ),
        "Each class has to reach 1 over the cells of its own map: this divides by a maximum over the "
        "classes.": (
            logit_Khw.relu() / logit_Khw.relu().amax(dim=0, keepdim=True).clamp(min=1e-5),
        ),
    }
    raise WrongAnswer(
        hint_for(map_Khw, mistakes)
        or "The values differ. Three steps: weigh and sum the channels, cut at 0, divide by the maximum."
    )


def check_fuse(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 2.3: one map from the responses to a photo and to its mirror image.

    Args:
        answer: takes ``photo_hw`` and ``mirror_hw``, the responses (logits after the ReLU) to the
            photo and to its mirror image, each in its own coordinates; returns ``map_hw``, fused in
            the coordinates of the photo and divided by its maximum.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for size in ((5, 8), (7, 7)):
        photo_hw = 4 * torch.rand(size, generator=generator)
        mirror_hw = 9 * torch.rand(size, generator=generator)
        true_hw = normalised(photo_hw + mirror_hw.flip(1))
        map_hw = tensor(called(answer, photo_hw, mirror_hw), size)
        if close(map_hw, true_hw):
            continue
        summed_hw = photo_hw + mirror_hw.flip(1)
        mistakes = {
            "The evidence of the mirror image lies at mirrored places: flip it back before you "
            "add.": (normalised(photo_hw + mirror_hw),),
            "This flips up and down. A mirror image is flipped left and right.": (
                normalised(photo_hw + mirror_hw.flip(0)),
                normalised(photo_hw + mirror_hw.flip(0, 1)),
            ),
            "This is the map of the mirror image: flip that response, and leave the photo's "
            "as it is.": (normalised(photo_hw.flip(1) + mirror_hw),),
            "This divides each view by its own maximum before adding. A view in which the network sees "
            "little should count little: add first, divide once.": (
                normalised(normalised(photo_hw) + normalised(mirror_hw.flip(1))),
                (normalised(photo_hw) + normalised(mirror_hw.flip(1))) / 2,
            ),
            "The sum is right, but it still has to be divided by its maximum.": (
                summed_hw,
                summed_hw / 2,
            ),
            "This keeps the larger of the two views. Add them: evidence that both see counts "
            "more.": (normalised(torch.maximum(photo_hw, mirror_hw.flip(1))),),
        }
        raise WrongAnswer(
            hint_for(map_hw, mistakes)
            or "The values differ. Three steps: flip back, add, divide by the maximum."
        )
    right("Back in the coordinates of the photo, the two views may be added.")


def check_average_precision(answer: Callable[[Tensor, Tensor], float]) -> None:
    """Exercise 2.4: the average precision of one class.

    Args:
        answer: takes ``score_N`` and ``truth_N`` (bool); returns the average precision. No two scores
            are equal, and at least one photo has the class.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for N, positives in ((40, 12), (50, 15), (60, 20), (25, 1)):
        truth_N = torch.arange(N) < positives
        truth_N = truth_N[torch.randperm(N, generator=generator)]
        noise_N = torch.rand(N, generator=generator)
        score_N = (noise_N + 0.3 * truth_N).argsort().argsort() - N / 2  # no two are equal
        true = average_precision(score_N, truth_N)
        mine = number(called(answer, score_N, truth_N))
        if not close(mine, true):
            hint = hint_for(mine, mistakes_in_average_precision(score_N, truth_N))
            raise WrongAnswer(
                hint
                or "The value differs. Sort by score, highest first; at each photo that has the "
                "class take the precision so far; average these."
            )
    right("Precision, averaged over the photos that have the class.")


def mistakes_in_average_precision(
    score_N: Tensor, truth_N: Tensor
) -> dict[str, tuple[Tensor | float, ...]]:
    """What the common mistakes give, by the hint for each."""
    hit_N = truth_N[score_N.argsort(descending=True)].double()
    rank_N = torch.arange(1, len(hit_N) + 1, dtype=torch.float64)
    precision_N, recall_N = hit_N.cumsum(0) / rank_N, hit_N.cumsum(0) / hit_N.sum()
    envelope_N = precision_N.flip(0).cummax(0).values.flip(0)
    loser_N = truth_N[score_N.argsort()].double()
    losing_N = loser_N.cumsum(0) / rank_N
    unsorted_N = truth_N.double().cumsum(0) / rank_N
    return {
        "This begins with the lowest score: sort from the highest down.": (
            (losing_N * loser_N).sum() / loser_N.sum(),
        ),
        "The photos are still in the order in which they came: sort them by score first.": (
            (unsorted_N * truth_N).sum() / truth_N.sum(),
        ),
        "This averages the precision over every rank. Only the ranks of photos that have the class "
        "count.": (precision_N.mean(),),
        "This divides by the number of all photos. Divide by the number of those that have the "
        "class.": ((precision_N * hit_N).mean(),),
        "This averages the recall, not the precision: divide the hits so far by the rank.": (
            recall_N.mean(),
            (recall_N * hit_N).sum() / hit_N.sum(),
        ),
        "This joins the points of the curve by straight lines (a trapezoidal rule). Precision moves "
        "in steps: no interpolation.": (
            torch.trapezoid(precision_N, recall_N),
            torch.trapezoid(
                torch.cat((precision_N[:1], precision_N)), torch.cat((recall_N[:1] * 0, recall_N))
            ),
        ),
        "This is the interpolated average precision, which takes the best precision at this recall "
        "or a higher one. Here it is the precision itself.": (
            (envelope_N * hit_N).sum() / hit_N.sum(),
        ),
        "This is the share of photos that have the class.": (hit_N.mean(),),
    }


def normalised(map_hw: Tensor) -> Tensor:
    """One map, divided by its maximum."""
    return max_normalised(map_hw[None])[0]
