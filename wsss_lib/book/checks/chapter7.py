"""Checks of chapter 7, label conditioning."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from wsss_lib.methods.amn import absent_foreground


def check_conditioning(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise 7.2: features times a linear function of the tags.

    Args:
        answer: takes ``feature_BChw``, ``tag_BK`` (float, 0 or 1), ``weight_CK`` and ``bias_C``; returns
            the conditioned features, ``(B, C, h, w)``.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for B, C, K, h, w in ((3, 5, 4, 6, 7), (2, 8, 3, 5, 5), (4, 4, 4, 4, 4)):
        feature_BChw = torch.randn(B, C, h, w, generator=generator)
        weight_CK = torch.randn(C, K, generator=generator)
        bias_C = torch.randn(C, generator=generator)
        tag_BK = (torch.rand(B, K, generator=generator) < 0.5).float()
        tag_BK[0], tag_BK[1, 0] = 0.0, 1.0  # one photo without any tag, one with
        linear_BC = tag_BK @ weight_CK.T
        wanted_BChw = feature_BChw * (linear_BC + bias_C)[:, :, None, None]
        result = called(answer, feature_BChw, tag_BK, weight_CK, bias_C)
        mine_BChw = tensor(result, (B, C, h, w))
        if not close(mine_BChw, wanted_BChw):
            raise WrongAnswer(
                hint_for(mine_BChw, mistakes_in_gain(feature_BChw, linear_BC, bias_C))
                or "The values differ. The gain of a photo is W y + b, one number for each channel; it "
                "multiplies that channel in every cell."
            )
    right("One gain for each channel, the same in every cell; without a tag it is the bias.")


def mistakes_in_gain(
    feature_BChw: Tensor, linear_BC: Tensor, bias_C: Tensor
) -> dict[str, Sequence[Tensor]]:
    """What the common mistakes give, by the hint for each."""
    gain_BC = linear_BC + bias_C

    def times(gain_BC: Tensor) -> Tensor:
        return feature_BChw * gain_BC[:, :, None, None]

    mistakes = {
        "The bias is missing: a photo without any tag would have no features left at all.": [
            times(linear_BC)
        ],
        "This adds the gain. The features are multiplied by it.": [
            feature_BChw + gain_BC[:, :, None, None]
        ],
        "The bias is added to the features here. It belongs to the gain, which multiplies them.": [
            times(linear_BC) + bias_C[:, None, None]
        ],
        "There is no activation between: the gain may be negative, or larger than 1.": [
            times(gain_BC.sigmoid()),
            times(gain_BC.relu()),
            times(gain_BC.softmax(dim=1)),
            times(gain_BC.tanh()),
        ],
        "The features themselves are kept and the product is added to them. The equation has the product "
        "alone.": [feature_BChw + times(gain_BC)],
        "These are the features as they were: the tags have no effect.": [feature_BChw],
        "Every photo has the gain of the first one. Each has its own tags.": [
            times(gain_BC[:1].expand_as(gain_BC))
        ],
        "The photos share one gain, the mean. Each has its own tags.": [
            times(gain_BC.mean(dim=0, keepdim=True).expand_as(gain_BC))
        ],
    }
    B, C, h, w = feature_BChw.shape
    if B == C == h == w:
        mistakes["The gain meets the wrong axis: it goes with channels, axis 1."] = [
            feature_BChw * gain_BC,
            feature_BChw * gain_BC[:, None],
            feature_BChw * gain_BC[:, None, :, None],
        ]
    return mistakes


def check_absent_share(answer: Callable[[Tensor, Tensor], float]) -> None:
    """Exercise 7.3: the share of the foreground that is of classes which the photo does not have.

    Args:
        answer: takes ``label_hw`` (background 0, class c as c + 1) and ``tag_K`` (bool); returns a
            fraction, 0 where nothing is foreground.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for K, h, w in ((5, 9, 11), (8, 12, 12), (3, 8, 6)):
        tag_K = torch.zeros(K, dtype=torch.bool)
        tag_K[torch.randperm(K, generator=generator)[: K // 2]] = True
        label_hw = torch.randint(K + 1, (h, w), generator=generator)
        label_hw[: h // 2][torch.rand(h // 2, w, generator=generator) < 0.7] = 0
        label_hw[-1, : K + 1] = torch.arange(K + 1)[:w]
        refuse_wrong_share(answer, label_hw, tag_K)
    refuse_wrong_share(answer, torch.zeros(4, 4, dtype=torch.int64), torch.tensor([True, False]))
    right("Wrong classes over all classes; the background is in neither.")


def refuse_wrong_share(answer: Callable, label_hw: Tensor, tag_K: Tensor) -> None:
    """Raises `WrongAnswer` unless the answer is right for one photo."""
    absent, foreground = absent_foreground(label_hw, tag_K)
    result = called(answer, label_hw, tag_K)
    if isinstance(result, tuple | list) and len(result) == 2:
        raise WrongAnswer("Return one number: the first count divided by the second.")
    if foreground == 0 and is_nan(result):
        raise WrongAnswer("Where no cell has a class you divide by zero. The share is 0 there.")
    mine = number(result)
    if close(mine, absent / max(foreground, 1)):
        return
    shifted_L = torch.cat([~tag_K, torch.tensor([True])])  # class c taken for label c
    shifted = int((shifted_L[label_hw] & (label_hw > 0)).sum())
    mistakes = {
        "This is a share of all cells. Divide by the cells that have a class.": [
            absent / label_hw.numel()
        ],
        "This is the share of the classes that *are* there.": [
            (foreground - absent) / max(foreground, 1)
        ],
        "The background counts as a class that the photo does not have. Label 0 is always allowed.": [
            (absent + int((label_hw == 0).sum())) / label_hw.numel(),
            (absent + int((label_hw == 0).sum())) / max(foreground, 1),
        ],
        "Label k is class k - 1: your tags are off by one.": [
            shifted / max(foreground, 1),
            int((shifted_L[label_hw]).sum()) / max(foreground, 1),
        ],
        "This is a count. Divide it by the number of cells that have a class.": [absent],
        "This divides by the cells that are right, not by all that have a class.": [
            absent / max(foreground - absent, 1)
        ],
        "This counts classes. Count cells.": [
            int((~tag_K[label_hw[label_hw > 0].unique() - 1]).sum())
            / max(len(label_hw[label_hw > 0].unique()), 1)
        ],
        "A fraction, not a percentage, please.": [100 * absent / max(foreground, 1)],
    }
    raise WrongAnswer(
        hint_for(mine, mistakes)
        or "The value differs. Count the cells whose class has no tag, and the cells that have a class."
    )


def check_held(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 7.4: a softmax over the background and the tagged classes alone.

    Args:
        answer: takes ``probability_BLhw`` (the softmax over all labels) and ``tag_BK`` (float); returns
            ``(B, L, h, w)``.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for B, K, h, w in ((3, 4, 6, 5), (2, 8, 4, 4), (1, 2, 3, 7)):
        logit_BLhw = 2 * torch.randn(B, K + 1, h, w, generator=generator)
        tag_BK = (torch.rand(B, K, generator=generator) < 0.5).float()
        tag_BK[:, 0], tag_BK[:, -1] = 1.0, 0.0
        probability_BLhw = logit_BLhw.softmax(dim=1)
        allowed_BL11 = torch.cat([torch.ones(B, 1), tag_BK], dim=1)[:, :, None, None]
        wanted_BLhw = logit_BLhw.where(allowed_BL11 > 0, -torch.inf).softmax(dim=1)
        mine_BLhw = tensor(called(answer, probability_BLhw, tag_BK), (B, K + 1, h, w))
        if not close(mine_BLhw, wanted_BLhw):
            raise WrongAnswer(
                hint_for(mine_BLhw, mistakes_in_holding(probability_BLhw, tag_BK))
                or "The values differ. Set what the tags rule out to zero, and divide by what is left."
            )
    right("What the tags rule out is shared out in proportion: no logit is needed for that.")


def mistakes_in_holding(probability_BLhw: Tensor, tag_BK: Tensor) -> dict[str, Sequence[Tensor]]:
    """What the common mistakes give, by the hint for each."""
    one_B1 = torch.ones_like(tag_BK[:, :1])
    allowed_BL11 = torch.cat([one_B1, tag_BK], dim=1)[:, :, None, None]
    kept_BLhw = probability_BLhw * allowed_BL11
    total_B1hw = kept_BLhw.sum(dim=1, keepdim=True)
    lost_BLhw = (1 - total_B1hw) * allowed_BL11

    def held_to(allowed_BL: Tensor) -> Tensor:
        part_BLhw = probability_BLhw * allowed_BL[:, :, None, None]
        return part_BLhw / part_BLhw.sum(dim=1, keepdim=True).clamp(min=1e-12)

    return {
        "The probabilities of a cell should add up to 1 again: divide by what is left.": [
            kept_BLhw
        ],
        "The background is no tag, but it is always allowed: keep label 0.": [
            held_to(torch.cat([0 * one_B1, tag_BK], dim=1)),
            probability_BLhw * torch.cat([0 * one_B1, tag_BK], dim=1)[:, :, None, None],
        ],
        "The tags are off by one: class c is label c + 1.": [
            held_to(torch.cat([tag_BK, one_B1], dim=1)),
            held_to(torch.cat([one_B1, tag_BK[:, 1:], one_B1], dim=1)),
            held_to(torch.cat([one_B1, tag_BK[:, 1:], 0 * one_B1], dim=1)),
        ],
        "A softmax of probabilities is not the softmax of the logits: they have been through exp already. "
        "Divide instead.": [
            kept_BLhw.softmax(dim=1),
            probability_BLhw.where(allowed_BL11 > 0, -torch.inf).softmax(dim=1),
        ],
        "What is ruled out is shared out equally here. In a softmax the labels keep their ratio: divide.": [
            kept_BLhw + lost_BLhw / allowed_BL11.sum(dim=1, keepdim=True)
        ],
        "All that is ruled out goes to the background here. In a softmax the labels keep their ratio: "
        "divide.": [
            kept_BLhw + lost_BLhw * (torch.arange(tag_BK.shape[1] + 1) == 0)[:, None, None]
        ],
        "This divides by the largest label. Divide by the sum of what is left.": [
            kept_BLhw / kept_BLhw.amax(dim=1, keepdim=True)
        ],
        "These are the probabilities as they were: the tags have no effect.": [probability_BLhw],
    }
