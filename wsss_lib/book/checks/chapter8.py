"""Checks of the exercises of chapter 8, the segmentation network."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.book.checks.answers import WrongAnswer, called, close, number, right, tensor
from wsss_lib.data.layout import VOID
from wsss_lib.methods.deeplab import upsampled

Layers = Sequence[tuple[int, int, int]]  # kernel, stride, dilation


def check_receptive_field(function: Callable[[list[tuple[int, int, int]]], int]) -> None:
    """Checks how many pixels in a row one cell of the last layer sees.

    Args:
        function: takes a list of layers, each ``(kernel, stride, dilation)``, the first one first.

    Raises:
        WrongAnswer: with a hint.
    """
    cases = [[(3, 1, 1)], [(3, 1, 6)], [(3, 2, 1), (3, 1, 1)], *(random_layers() for _ in range(6))]
    for layers in cases:
        answer = number(called(function, list(layers)))
        if close(answer, receptive_field(layers)):
            continue
        for wrong, hint in RECEPTIVE_FIELD_HINTS:
            if close(answer, wrong(layers)):
                raise WrongAnswer(hint)
        raise WrongAnswer(
            f"For the layers {layers}, each (kernel, stride, dilation), {answer:g} is not right. Walk through them "
            "with two numbers: how much is seen, and how many pixels lie between neighbouring cells."
        )
    right(
        "A layer adds (kernel - 1) x dilation cells, each as wide as the strides before it make it."
    )


def random_layers() -> Layers:
    """Three to five layers; the first has a stride, and one behind it a dilation."""
    middle = [
        (random.choice([3, 5]), random.choice([1, 2]), random.choice([1, 2, 4]))
        for _ in range(random.randint(1, 3))
    ]
    return [(7, 2, 1), *middle, (3, 2, random.choice([2, 6, 12]))]


def receptive_field(layers: Layers, *, own_stride: bool = False) -> int:
    """The answer: side of the square of pixels that one cell sees."""
    side = jump = 1
    for kernel, stride, dilation in layers:
        if own_stride:
            jump *= stride
        side += (kernel - 1) * dilation * jump
        if not own_stride:
            jump *= stride
    return side


def _undilated(layers: Layers) -> int:
    return receptive_field([(kernel, stride, 1) for kernel, stride, _ in layers])


def _unstrided(layers: Layers) -> int:
    return receptive_field([(kernel, 1, dilation) for kernel, _, dilation in layers])


def _jump(layers: Layers) -> int:
    return int(torch.tensor([stride for _, stride, _ in layers]).prod())


def _whole_kernels(layers: Layers) -> int:
    return receptive_field([(kernel + 1, stride, dilation) for kernel, stride, dilation in layers])


RECEPTIVE_FIELD_HINTS = [
    (_undilated, "Dilation is missing: the outer taps of a 3x3 kernel of rate r are 2r cells apart."),
    (
        lambda layers: receptive_field(layers, own_stride=True),
        "A stride does not widen the steps of its own layer, only those of the layers behind it.",
    ),
    (_unstrided, "Strides are missing: behind a stride of 2, neighbouring cells are 2 pixels apart."),
    (
        lambda layers: receptive_field(layers) - 1,
        "One too few: without any layer, a cell sees one pixel, itself.",
    ),
    (
        _whole_kernels,
        "Between the first and the last tap of a kernel lie kernel - 1 gaps, not kernel.",
    ),
    (_jump, "That is the output stride: how far two cells are apart, not how much one sees."),
]  # fmt: skip


def check_pixel_weights(function: Callable[[Tensor], Tensor]) -> None:
    """Checks the weight of each cell in the balanced loss.

    Args:
        function: takes ``label_Bhw`` (0 background, 255 void) and returns ``weight_Bhw``, so that
            the balanced loss of a batch is the sum of weight times cross-entropy.

    Raises:
        WrongAnswer: with a hint.
    """
    for batch, height, width in [(2, 6, 5), (1, 8, 8), (3, 4, 7)]:
        label = random_labels(batch, height, width)
        answer = tensor(called(function, label), label.shape)
        weight = pixel_weights(label)
        if close(answer, weight, 1e-5):
            continue
        void = label == VOID
        hints = [
            (answer[void].abs().max() > 0, "Void cells have a weight: they must not count at all."),
            (
                close(answer, 2 * weight, 1e-5),
                "Twice too much: each half, background and foreground, counts one half.",
            ),
            (
                close(answer, (~void) / (~void).sum().double(), 1e-5),
                "All cells weigh the same: that is the plain loss.",
            ),
            (
                batch > 1 and close(answer, _each_photo(label), 1e-5),
                "The means go over the cells of the whole batch, not over those of each photo.",
            ),
            (
                close(answer, _each_class(label), 1e-5),
                "All foreground classes together make up one half; a class has no share of its own.",
            ),
            (
                close(answer, weight / weight.sum(dim=(1, 2), keepdim=True), 1e-5)
                or not close(answer.sum(), 1.0, 1e-4),
                f"The weights of a batch add up to 1, half of it background; yours to {answer.sum():.3g}.",
            ),
        ]
        for wrong, hint in hints:
            if wrong:
                raise WrongAnswer(hint)
        raise WrongAnswer(
            "The weights add up to 1 but lie in the wrong places: every background cell weighs the same, "
            "and so does every foreground cell."
        )
    right(
        "With a fifth of the cells in the foreground, one of them weighs as much as four of the others."
    )


def random_labels(batch: int, height: int, width: int) -> Tensor:
    """Labels with few foreground cells, another number in each photo, and some void ones."""
    label = torch.zeros(batch, height, width, dtype=torch.int64)
    flat = label.flatten(1)
    for photo, row in enumerate(flat):
        places = torch.randperm(row.numel())
        row[places[: 3 + 3 * photo]] = torch.tensor([1, 1, 2]).repeat(1 + photo)
        row[places[-2:]] = VOID
    return label


def pixel_weights(label_Bhw: Tensor) -> Tensor:
    """The answer, float64."""
    back = label_Bhw == 0
    fore = (label_Bhw > 0) & (label_Bhw != VOID)
    return 0.5 * back / back.sum().clamp(min=1).double() + 0.5 * fore / fore.sum().clamp(min=1)


def _each_photo(label_Bhw: Tensor) -> Tensor:
    return torch.cat([pixel_weights(label[None]) for label in label_Bhw]) / len(label_Bhw)


def _each_class(label_Bhw: Tensor) -> Tensor:
    labels = [value for value in label_Bhw.unique().tolist() if value != VOID]
    shares = [(label_Bhw == value) / (label_Bhw == value).sum().double() for value in labels]
    return sum(shares) / len(labels)


def check_fused_scales(function: Callable[[list[Tensor], tuple[int, int]], Tensor]) -> None:
    """Checks how the logits of several scales become one probability.

    Args:
        function: takes a list of ``logit_BLhw``, each on another grid, and ``(H, W)``, and returns
            ``probability_BLHW``.

    Raises:
        WrongAnswer: with a hint.
    """
    for labels, size, grids in [
        (3, (16, 12), [(8, 6), (4, 3)]),
        (5, (9, 9), [(3, 3), (5, 5), (9, 9)]),
    ]:
        logits = [3 * torch.randn(2, labels, *grid, dtype=torch.float64) for grid in grids]
        shape = (2, labels, *size)
        answer = tensor(called(function, logits, size), shape)
        full = torch.stack([upsampled(logit, size) for logit in logits])
        if close(answer, full.amax(dim=0).softmax(dim=1)):
            continue
        own = torch.stack([logit.softmax(dim=1) for logit in full])
        cornered = [F.interpolate(z, size, mode="bilinear", align_corners=True) for z in logits]
        near = [F.interpolate(logit, size, mode="nearest") for logit in logits]
        hints = [
            (full.amax(dim=0), "These are logits: a softmax over the labels is still to come."),
            (
                full.mean(dim=0).softmax(dim=1),
                "That is the mean over the scales; here the largest logit counts.",
            ),
            (
                full.sum(dim=0).softmax(dim=1),
                "That is the sum over the scales; here the largest logit counts.",
            ),
            (
                own.amax(dim=0),
                "The softmax comes last: the largest of several probabilities no longer adds up to 1.",
            ),
            (own.mean(dim=0), "That is the mean of probabilities; take the largest logit instead."),
            (full[0].softmax(dim=1), "Only the first scale counts in your answer."),
            (
                torch.stack(cornered).amax(dim=0).softmax(dim=1),
                "Interpolate with align_corners=False, as everywhere in this book.",
            ),
            (
                torch.stack(near).amax(dim=0).softmax(dim=1),
                "Interpolate bilinearly: the nearest cell makes steps.",
            ),
        ]
        for wrong, hint in hints:
            if close(answer, wrong):
                raise WrongAnswer(hint)
        if not close(answer.sum(dim=1), torch.ones(2, *size)):
            raise WrongAnswer(
                "Over the labels, dimension 1, the probabilities of a pixel must add up to 1."
            )
        raise WrongAnswer(
            "The order is: bring each scale to the size of the photo, take the largest logit of each label, "
            "then the softmax over the labels."
        )
    right("A label wins where any scale is sure of it.")
