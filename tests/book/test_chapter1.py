"""The checks of chapter 1: every right answer passes, every common mistake gets its hint."""

import numpy as np
import pytest
import torch

from wsss_lib.book.checks import chapter1
from wsss_lib.book.checks.answers import WrongAnswer
from wsss_lib.book.checks.chapter1 import check_iou, check_precision_recall, check_threshold_labels

# intersection over union


def areas(truth, prediction, L):
    """Hits, true and predicted pixels of each label, void left out."""
    truth, prediction = truth[truth != 255], prediction[truth != 255]
    each = [(truth == label, prediction == label) for label in range(L)]
    return [
        torch.tensor([float(count) for count in counts])
        for counts in zip(*(((t & p).sum(), t.sum(), p.sum()) for t, p in each))
    ]


def iou_with_sets(truth, prediction, L):
    hit, true, predicted = areas(truth, prediction, L)
    return hit / (true + predicted - hit)


def iou_with_loops_as_a_list(truth, prediction, L):
    values = []
    for label in range(L):
        both = either = 0
        for t, p in zip(truth.flatten().tolist(), prediction.flatten().tolist()):
            if t != 255:
                both += t == label and p == label
                either += t == label or p == label
        values.append(both / either)
    return values


def iou_with_numpy_bincount(truth, prediction, L):
    truth, prediction = truth.numpy(), prediction.numpy()
    valid = truth < L
    pairs = np.bincount(L * truth[valid] + prediction[valid], minlength=L * L).reshape(L, L)
    hit = np.diag(pairs)
    return hit / (pairs.sum(0) + pairs.sum(1) - hit)


@pytest.mark.parametrize(
    "answer", [iou_with_sets, iou_with_loops_as_a_list, iou_with_numpy_bincount]
)
def test_right_ious_pass(answer, capsys):
    check_iou(answer)
    assert "Right." in capsys.readouterr().out


def from_areas(formula):
    return lambda *masks: formula(*areas(*masks))


def with_void_in_the_union(truth, prediction, L):
    pairs = [(truth == label, prediction == label) for label in range(L)]
    return torch.stack([(t & p).sum() / (t | p).sum() for t, p in pairs])


WRONG_IOUS = {
    "void pixels. where": with_void_in_the_union,
    "nobody knows": lambda t, p, L: iou_with_sets(t.where(t != 255, 0), p, L),
    "subtract them once": from_areas(lambda hit, true, predicted: hit / (true + predicted)),
    "dice": from_areas(lambda hit, true, predicted: 2 * hit / (true + predicted)),
    "recall": from_areas(lambda hit, true, predicted: hit / true),
    "it is the precision": from_areas(lambda hit, true, predicted: hit / predicted),
    "of all pixels": from_areas(lambda hit, true, predicted: hit / true.sum()),
    "percentages": lambda *masks: 100 * iou_with_sets(*masks),
    "minus": lambda *masks: 1 - iou_with_sets(*masks),
    "one IoU for each": lambda *masks: iou_with_sets(*masks).mean(),
    "has the shape": lambda *masks: iou_with_sets(*masks)[1:],
    "the values differ": lambda *masks: iou_with_sets(*masks) ** 2,
    "stops with": lambda t, p, L: iou_with_sets(t, p[1:], L),
    "no answer yet": lambda *masks: ...,
    "is there a `return`": lambda *masks: None,
}


@pytest.mark.parametrize("hint", WRONG_IOUS)
def test_a_wrong_iou_gets_its_hint(hint, same_inputs):
    with pytest.raises(WrongAnswer, match=f"(?i){hint}"):
        check_iou(WRONG_IOUS[hint])


# labels at a threshold


def labels_with_argmax(map_kHW, classes_k, threshold):
    score, winner = map_kHW.max(dim=0)
    return torch.where(score > threshold, classes_k[winner] + 1, 0)


def labels_with_a_background_channel(map_kHW, classes_k, threshold):
    ground = torch.full_like(map_kHW[:1], threshold)
    labels = torch.cat((torch.tensor([0]), classes_k + 1))
    return labels[torch.cat((ground, map_kHW)).argmax(dim=0)].to(torch.uint8)


def labels_with_loops_and_numpy(map_kHW, classes_k, threshold):
    maps, classes = map_kHW.numpy(), classes_k.numpy()
    labels = np.zeros(maps.shape[1:])
    for y, x in np.ndindex(labels.shape):
        best = max(range(len(maps)), key=lambda k: maps[k, y, x])
        if maps[best, y, x] > threshold:
            labels[y, x] = classes[best] + 1
    return labels


@pytest.mark.parametrize(
    "answer", [labels_with_argmax, labels_with_a_background_channel, labels_with_loops_and_numpy]
)
def test_right_labels_pass(answer, capsys):
    check_threshold_labels(answer)
    assert "Right." in capsys.readouterr().out


def overwriting(map_kHW, classes_k, threshold, order=1):
    labels = torch.zeros(map_kHW.shape[1:], dtype=torch.int64)
    for k in range(len(classes_k))[::order]:
        labels[map_kHW[k] > threshold] = classes_k[k] + 1
    return labels


WRONG_LABELS = {
    "not >=": lambda m, c, t: torch.where(m.amax(0) >= t, c[m.argmax(0)] + 1, 0),
    "the label c \\+ 1": lambda m, c, t: torch.where(m.amax(0) > t, c[m.argmax(0)], 0),
    "look it up": lambda m, c, t: torch.where(m.amax(0) > t, m.argmax(0) + 1, 0),
    "there is no background": lambda m, c, t: c[m.argmax(0)] + 1,
    "the last of them wins": overwriting,
    "the first of them wins": lambda m, c, t: overwriting(m, c, t, -1),
    "wrong way round": lambda m, c, t: torch.where(m.amax(0) > t, 0, c[m.argmax(0)] + 1),
    "but not of which class": lambda m, c, t: (m.amax(0) > t).long(),
    "not the sum": lambda m, c, t: torch.where(m.sum(0) > t, c[m.argmax(0)] + 1, 0),
    "which class is that map of": lambda m, c, t: labels_with_argmax(m, c, t) + 3,
    "has the shape": lambda m, c, t: labels_with_argmax(m, c, t)[None],
    "no answer yet": lambda m, c, t: ...,
    "is there a `return`": lambda m, c, t: None,
}


@pytest.mark.parametrize("hint", WRONG_LABELS)
def test_wrong_labels_get_their_hint(hint, same_inputs):
    with pytest.raises(WrongAnswer, match=f"(?i){hint}"):
        check_threshold_labels(WRONG_LABELS[hint])


def test_an_answer_that_knows_one_photo_by_heart_is_refused():
    with pytest.raises(WrongAnswer):
        check_threshold_labels(lambda m, c, t: torch.zeros(m.shape[1:]))


# precision and recall


@pytest.mark.parametrize("answer", [0.444, 4 / 9, np.float32(0.4444), torch.tensor(0.44), "0.444"])
def test_the_right_number_passes(answer, capsys):
    check_precision_recall(answer)
    assert "Right." in capsys.readouterr().out


WRONG_NUMBERS = {
    "dice": 0.615,
    "product": 0.4,
    "mean": 0.65,
    "smaller": 0.632,
    "one of the two": 0.5,
    "both kinds": 0.8,
    "percentage": 44.4,
    "how many pixels are in the union": 0.2,
    "no answer yet": ...,
    "one number": [0.444, 0.1],
}


@pytest.mark.parametrize("hint", WRONG_NUMBERS)
def test_a_wrong_number_gets_its_hint(hint):
    with pytest.raises(WrongAnswer, match=f"(?i){hint}"):
        check_precision_recall(WRONG_NUMBERS[hint])


@pytest.mark.parametrize("check", [check_iou, check_threshold_labels, check_precision_recall])
@pytest.mark.parametrize("blank", [None, ...])
def test_a_blank_is_refused(check, blank):
    with pytest.raises(WrongAnswer, match="no answer yet"):
        check(blank)


def test_the_result_of_a_call_is_refused():
    with pytest.raises(WrongAnswer, match="function itself"):
        check_iou(iou_with_sets(*chapter1.two_masks(6, 6, 3, torch.Generator()), 3))
