import random
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from wsss_lib.book.checks.answers import WrongAnswer
from wsss_lib.book.checks.chapter8 import (
    check_fused_scales,
    check_pixel_weights,
    check_receptive_field,
    pixel_weights,
    random_labels,
    random_layers,
    receptive_field,
)
from wsss_lib.methods.amn import per_pixel_loss

BLANKS = [None, ..., lambda *arguments: None, lambda *arguments: ...]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    random.seed(0)


@pytest.mark.parametrize("check", [check_receptive_field, check_pixel_weights, check_fused_scales])
@pytest.mark.parametrize("blank", BLANKS)
def test_blank_answers_are_refused(check, blank):
    with pytest.raises(WrongAnswer):
        check(blank)


# receptive field


def walked(layers):
    seen, apart = 1, 1
    for kernel, stride, dilation in layers:
        seen, apart = seen + (kernel - 1) * dilation * apart, apart * stride
    return seen


def backwards(layers):
    seen = 1
    for kernel, stride, dilation in reversed(layers):
        seen = (seen - 1) * stride + (kernel - 1) * dilation + 1
    return seen


@pytest.mark.parametrize(
    "answer", [walked, backwards, lambda layers: torch.tensor([walked(layers)])]
)
def test_receptive_field_accepts(answer, capsys):
    check_receptive_field(answer)
    assert "Right" in capsys.readouterr().out


def own_stride(layers):
    seen, apart = 1, 1
    for kernel, stride, dilation in layers:
        apart *= stride
        seen += (kernel - 1) * dilation * apart
    return seen


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda layers: walked([(k, s, 1) for k, s, _ in layers]), "Dilation is missing"),
        (own_stride, "its own layer"),
        (lambda layers: walked([(k, 1, d) for k, _, d in layers]), "Strides are missing"),
        (lambda layers: walked(layers) - 1, "One too few"),
        (lambda layers: walked([(k + 1, s, d) for k, s, d in layers]), "kernel - 1"),
        (lambda layers: 7, "not right"),
        (lambda layers: 3, "Dilation is missing|not right"),
        (lambda layers: "wide", "one number"),
    ],
)
def test_receptive_field_rejects(answer, hint):
    with pytest.raises(WrongAnswer, match=hint):
        check_receptive_field(answer)


def test_receptive_field_is_that_of_a_network():
    for _ in range(5):
        layers = [(k, s, min(d, 4)) for k, s, d in random_layers()]
        convs = [nn.Conv1d(1, 1, k, s, dilation=d, bias=False).double() for k, s, d in layers]
        for conv in convs:
            nn.init.ones_(conv.weight)
        row = torch.zeros(1, 1, 600, dtype=torch.float64, requires_grad=True)
        nn.Sequential(*convs)(row)[0, 0, 0].backward()
        seen = row.grad[0, 0].nonzero().flatten()
        assert int(seen[-1] - seen[0]) + 1 == receptive_field(layers)


# weights of the balanced loss


def masks(label):
    return label == 0, (label > 0) & (label != 255)


def by_mask(label):
    back, fore = masks(label)
    weight = torch.zeros(label.shape)
    weight[back], weight[fore] = 0.5 / back.sum(), 0.5 / fore.sum()
    return weight


def by_loop(label):
    flat = label.flatten().tolist()
    count = {True: sum(v == 0 for v in flat), False: sum(0 < v < 255 for v in flat)}
    weight = [0.0 if v == 255 else 0.5 / count[v == 0] for v in flat]
    return torch.tensor(weight, dtype=torch.float64).view(label.shape)


def by_gradient(label):
    labels = 3
    logit = torch.zeros(len(label), labels, *label.shape[1:], requires_grad=True)
    per_pixel_loss(logit, label, smoothing=0.0).backward()
    return logit.grad.abs().sum(dim=1) / (2 * (1 - 1 / labels))


@pytest.mark.parametrize("answer", [by_mask, by_loop, by_gradient, lambda x: by_mask(x).numpy()])
def test_pixel_weights_accept(answer, capsys):
    check_pixel_weights(answer)
    assert "Right" in capsys.readouterr().out


def void_is_foreground(label):
    back, fore = label == 0, label > 0
    return 0.5 * back / back.sum() + 0.5 * fore / fore.sum()


def photo_by_photo(label):
    return torch.stack([by_mask(each) for each in label]) / len(label)


def swapped(label):
    back, fore = masks(label)
    return 0.5 * back / fore.sum() + 0.5 * fore / back.sum()


def class_by_class(label):
    known = [value for value in label.unique().tolist() if value != 255]
    return sum((label == v) / (label == v).sum() for v in known) / len(known)


@pytest.mark.parametrize(
    "answer, hint",
    [
        (void_is_foreground, "Void"),
        (lambda label: 2 * by_mask(label), "Twice"),
        (lambda label: (label != 255) / (label != 255).sum(), "plain loss"),
        (photo_by_photo, "whole batch"),
        (class_by_class, "one half"),
        (swapped, "add up to 1"),
        (lambda label: torch.zeros(label.shape), "add up to 1"),
        (lambda label: by_mask(label).sum(), "shape"),
        (lambda label: by_mask(label.flip(-1)), "wrong places|Void"),
    ],
)
def test_pixel_weights_reject(answer, hint):
    with pytest.raises(WrongAnswer, match=hint):
        check_pixel_weights(answer)


def test_pixel_weights_give_the_loss():
    label = random_labels(3, 6, 5)
    logit = torch.randn(3, 4, 6, 5, dtype=torch.float64)
    each = F.cross_entropy(logit, label, ignore_index=255, reduction="none")
    loss = per_pixel_loss(logit, label, smoothing=0.0)
    torch.testing.assert_close((pixel_weights(label) * each).sum(), loss)


# scales


def resize(logit, size, **how):
    return F.interpolate(logit, size, **({"mode": "bilinear", "align_corners": False} | how))


def stacked(logits, size):
    return torch.stack([resize(z, size) for z in logits]).max(dim=0).values.softmax(dim=1)


def running(logits, size):
    best = resize(logits[0], size)
    for logit in logits[1:]:
        best = torch.maximum(best, resize(logit, size))
    return (best.exp() / best.exp().sum(dim=1, keepdim=True)).float()


@pytest.mark.parametrize("answer", [stacked, running, lambda z, s: stacked(z, s).numpy()])
def test_fused_scales_accept(answer, capsys):
    check_fused_scales(answer)
    assert "Right" in capsys.readouterr().out


def full(logits, size):
    return torch.stack([resize(z, size) for z in logits])


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda z, s: full(z, s).amax(0), "softmax over the labels is still"),
        (lambda z, s: full(z, s).mean(0).softmax(1), "mean over the scales"),
        (lambda z, s: full(z, s).sum(0).softmax(1), "sum over the scales"),
        (lambda z, s: full(z, s).softmax(2).amax(0), "comes last"),
        (lambda z, s: full(z, s).softmax(2).mean(0), "mean of probabilities"),
        (lambda z, s: resize(z[0], s).softmax(1), "Only the first"),
        (
            lambda z, s: (
                torch.stack([resize(each, s, align_corners=True) for each in z]).amax(0).softmax(1)
            ),
            "align_corners",
        ),
        (
            lambda z, s: torch.stack([F.interpolate(each, s) for each in z]).amax(0).softmax(1),
            "bilinearly",
        ),
        (lambda z, s: full(z, s).amax(0).softmax(0), "dimension 1"),
        (lambda z, s: full(z, s).amin(0).softmax(1), "order"),
        (lambda z, s: z[0], "shape"),
        (lambda z, s: 1 / 0, re.escape("ZeroDivisionError")),
    ],
)
def test_fused_scales_reject(answer, hint):
    with pytest.raises(WrongAnswer, match=hint):
        check_fused_scales(answer)
