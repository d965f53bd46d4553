"""Checks of the exercises of chapter 3, climbing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
from wsss_lib.data.augmentation import STD
from wsss_lib.methods.advcam import Climbing, stepped


def check_step(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise 3.2: one step of many pairs, each for itself.

    Args:
        answer: takes ``image_PVCHW``, ``gradient_PVCHW`` and xi, returns the climbed ``image_PVCHW``.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for P, H, W, xi in ((3, 6, 5, 0.3), (2, 4, 7, 0.08), (1, 5, 5, 0.5)):
        image_PVCHW, gradient_PVCHW = random_step(P, H, W, generator)
        true_PVCHW = step_of(image_PVCHW, gradient_PVCHW, xi)
        result = called(answer, image_PVCHW, gradient_PVCHW, xi)
        compare_step(result, true_PVCHW, step_mistakes(image_PVCHW, gradient_PVCHW, xi))
    gradient_PVCHW[0] = 0
    result = called(answer, image_PVCHW, gradient_PVCHW, xi)
    if isinstance(result, Tensor) and result.isnan().any():
        raise WrongAnswer(
            "0 / 0: where the gradient of a pair is 0 everywhere, so is its largest value, and the pair "
            "has to stay where it is. A tiny number added to the divisor is enough."
        )
    compare_step(result, image_PVCHW, {})
    right("Every pair moves as far as the others, and stays within its own range.")


def random_step(P: int, H: int, W: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Photos and gradients of very different sizes, on which each mistake gives another answer."""
    size_P1111 = (10.0 ** torch.linspace(-2, 1, P))[:, None, None, None, None]
    image = torch.randn(P, 2, 3, H, W, generator=generator)
    image = image + torch.linspace(-1, 1, P)[:, None, None, None, None]
    gradient = size_P1111 * torch.randn(P, 2, 3, H, W, generator=generator)
    gradient[:, 1] *= 0.5  # the views differ, and the largest value of a pair is a negative one
    gradient[:, 0, 0, 0, 0] = -5 * size_P1111.flatten()
    for pair, slope, size in zip(image.flatten(1), gradient.flatten(1), size_P1111.flatten()):
        slope[pair.argmax()] = 4 * size  # beyond the largest value: the clamp is felt
        slope[pair.argmin()] = -4 * size
    return image, gradient


def step_of(image_PVCHW: Tensor, gradient_PVCHW: Tensor, xi: float) -> Tensor:
    """The answer: what the library does by default."""
    return stepped(image_PVCHW, gradient_PVCHW, image_PVCHW, Climbing(step_size=xi))


def compare_step(result: object, true_PVCHW: Tensor, mistakes: Mapping) -> None:
    """Compares one answer with the step, and with what the common mistakes give."""
    moved_PVCHW = tensor(result, true_PVCHW.shape)
    if close(moved_PVCHW, true_PVCHW):
        return
    raise WrongAnswer(
        hint_for(moved_PVCHW, mistakes)
        or "The values differ. For each pair: divide the gradient by its largest absolute value, go xi "
        "times that, and clamp to the range that the pair had before the step."
    )


def step_mistakes(x: Tensor, gradient: Tensor, xi: float) -> dict[str, tuple[Tensor, ...]]:
    """What the common mistakes give, by the hint for each."""
    pair, view = (1, 2, 3, 4), (2, 3, 4)
    largest = gradient.abs().amax(pair, keepdim=True)
    direction = gradient / largest
    signed_largest = gradient / gradient.amax(pair, keepdim=True)
    each_view = gradient / gradient.abs().amax(view, keepdim=True)
    length = gradient / gradient.square().sum(pair, keepdim=True).sqrt()
    free = x + xi * direction

    def within_own_range(moved: Tensor, dims: tuple[int, ...] = pair) -> Tensor:
        return moved.clamp(x.amin(dims, keepdim=True), x.amax(dims, keepdim=True))

    def both(direction: Tensor) -> tuple[Tensor, Tensor]:
        return within_own_range(x + xi * direction), x + xi * direction

    return {
        "This goes downhill: an attack. To climb, add the gradient.": both(-direction),
        "This takes the sign of the gradient, as a well-known attack does, so that every value moves by xi. "
        "Climbing keeps the proportions: divide by the largest absolute value.": both(
            gradient.sign()
        ),
        "This divides by the largest value of the whole batch, so that a pair moves less when another one "
        "is steep. Each pair has its own maximum.": both(gradient / gradient.abs().max()),
        "This divides each view by a maximum of its own. A photo and its mirror image share one.": both(
            each_view
        ),
        "This divides by the largest value, not by the largest absolute value: here the largest one is "
        "negative.": both(signed_largest),
        "This divides by the length of the gradient. The largest single value should move by xi.": both(
            length
        ),
        "The gradient is not normalised yet: divide it by its largest absolute value.": both(
            gradient
        ),
        "The step is right, but the clamp is missing: no value may leave the range that the pair had "
        "before.": (free,),
        "This clamps to the range of the whole batch. Each pair has its own.": (
            free.clamp(x.min(), x.max()),
        ),
        "This clamps each view to its own range. A photo and its mirror image share one.": (
            within_own_range(free, view),
        ),
        "These photos are normalised: their values do not lie between 0 and 1. Clamp to the range that "
        "the pair had before the step.": (free.clamp(0, 1), free.clamp(-1, 1)),
    }


def check_gradcam_weights(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 3.3: the channel weights of the Grad-CAM of the code, without a backward pass.

    Args:
        answer: takes ``logit_Vhw``, the logit map of the class in each view, and ``weight_C``, the
            head weights of the class; returns ``weight_VC``, by which the Grad-CAM weighs the channels.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for C, h, w in ((7, 5, 6), (12, 4, 4), (9, 3, 8)):
        logit_Vhw = torch.randn(2, h, w, generator=generator)
        logit_Vhw[0, 0], logit_Vhw[0, 1:] = logit_Vhw[0, 0].abs(), -logit_Vhw[0, 1:].abs()
        weight_C = 0.3 * torch.randn(C, generator=generator)
        weight_C[:3] = torch.tensor([0.5, 0.4, -0.6])
        compare_weights(called(answer, logit_Vhw, weight_C), logit_Vhw, weight_C)
    logit_Vhw = -1 - logit_Vhw.abs()
    logit_Vhw[0, 0, 0] = 1  # one view speaks against the class in every cell
    compare_weights(called(answer, logit_Vhw, weight_C), logit_Vhw, weight_C)
    logit_Vhw[0, 0, 0] = -1  # and now both do
    compare_weights(called(answer, logit_Vhw, weight_C), logit_Vhw, weight_C)
    right("The class weights, times the share of the positive cells that the view has.")


def compare_weights(answer: object, logit_Vhw: Tensor, weight_C: Tensor) -> None:
    """Compares one answer with the weights, and with what the common mistakes give."""
    positive_V1 = (logit_Vhw > 0).sum(dim=(1, 2))[:, None].double()
    total = positive_V1.sum().clamp(min=1)
    known, weight_C = (weight_C > 0).sum(), weight_C.double()
    true_VC = weight_C * positive_V1 / (known * total)
    if isinstance(answer, Tensor) and answer.isnan().any():
        raise WrongAnswer(
            "0 / 0: here neither view has a positive cell. The weights should then be 0: divide by 1 at "
            "least."
        )
    if isinstance(answer, Tensor) and answer.numel() in (len(weight_C), 2):
        raise WrongAnswer(
            "One number for each view and each channel: the class weights go along the channels, the "
            "shares of the views along the views."
        )
    weight_VC = tensor(answer, true_VC.shape)
    if close(weight_VC, true_VC, 1e-5):
        return
    cells, response_Vhw = logit_Vhw[0].numel(), logit_Vhw.relu().double()
    strength_V1 = response_Vhw.sum(dim=(1, 2))[:, None] / response_Vhw.sum().clamp(min=1e-12)
    mistakes = {
        "Both views weigh the same here. A view in which more cells are positive collects more gradient: "
        "count its positive cells.": (
            (weight_C / known).expand_as(true_VC),
            (weight_C / (2 * known)).expand_as(true_VC),
        ),
        "The share of the view is right. The sum is divided by the number of all positive gradient "
        "values, and of these each positive cell has one for each positive weight.": (
            weight_C * positive_V1 / total,
        ),
        "This is the sum of the gradient over the cells. It still has to be divided by the number of "
        "positive gradient values.": (weight_C * positive_V1,),
        "This is the mean over all cells, as Grad-CAM was published. The code divides by the number of "
        "positive gradient values instead.": (
            weight_C * positive_V1 / cells,
            weight_C * positive_V1 / (2 * cells),
        ),
        "This divides by the number of all weights. Only where the weight is positive is the gradient "
        "positive.": (weight_C * positive_V1 / (len(weight_C) * total),),
        "Negative weights are dropped here. They count: only the divisor leaves them out.": (
            weight_C.relu() * positive_V1 / (known * total),
        ),
        "The share goes by how strong the evidence is. The derivative of a ReLU is 1 wherever it is "
        "positive, strong or weak: count cells.": (
            weight_C * strength_V1 / known,
            weight_C * strength_V1,
        ),
    }
    raise WrongAnswer(
        hint_for(weight_VC, mistakes)
        or "The values differ. Where the logit is positive, the gradient of a cell is the class weights, "
        "elsewhere 0. Sum it over the cells of a view; then divide by the number of positive values in "
        "the gradient of both views."
    )


def check_largest_change(answer: object) -> None:
    """Exercise 3.4: how many grey levels a red value can have moved in the last of 27 maps.

    Args:
        answer: a number, at step size 0.08.

    Raises:
        WrongAnswer: with a hint.
    """
    steps, xi, std = 26, 0.08, STD[0]
    value = number(answer)
    truth = steps * xi * std * 255
    if abs(value - truth) < 0.6:
        right("Nearly half of the range of a photo, if the gradient agreed with itself 26 times.")
        return
    hints = {
        (steps + 1)
        * xi
        * std
        * 255: "One step too many: the first map is that of the photo itself.",
        xi * std * 255: "That is one step.",
        steps
        * xi
        * 255: "xi is counted in units of the normalised photo: 1 is one standard deviation "
        "of the channel, `wsss_lib.data.augmentation.STD`.",
        steps
        * xi: "These are normalised units. Undo the normalisation: times the standard deviation "
        "of the channel, times 255.",
        steps
        * xi
        * std: "That is a fraction of the range from 0 to 1: how many grey levels are it?",
        steps * xi * STD[1] * 255: "That is the green channel: red comes first.",
        steps * xi * STD[2] * 255: "That is the blue channel: red comes first.",
        steps * xi / std: "Normalising divides by the standard deviation; undoing it multiplies.",
        steps
        * xi
        / std
        * 255: "Normalising divides by the standard deviation; undoing it multiplies.",
    }
    for wrong, hint in hints.items():
        if abs(value - wrong) < 0.002 * wrong:
            raise WrongAnswer(hint)
    raise WrongAnswer(
        "That is not it. How many steps lie behind the last map? How far does one step move the value "
        "that moves most, in normalised units? And how many grey levels is one such unit?"
    )
