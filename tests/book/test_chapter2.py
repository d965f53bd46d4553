"""The checks of chapter 2: every right answer passes, every common mistake gets its hint."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from wsss_lib.book.checks import chapter2
from wsss_lib.book.checks.answers import WrongAnswer
from wsss_lib.book.checks.chapter2 import check_average_precision, check_cam, check_fuse

# class activation maps


def logits(feature_Chw, weight_KC):
    return torch.einsum("kc,chw->khw", weight_KC, feature_Chw)


def peaks(map_Khw):
    return map_Khw.amax(dim=(1, 2), keepdim=True)


def cam_with_einsum(feature_Chw, weight_KC):
    map_Khw = logits(feature_Chw, weight_KC).relu()
    return map_Khw / (peaks(map_Khw) + 1e-5)


def cam_with_loops_and_numpy(feature_Chw, weight_KC):
    feature, weight = feature_Chw.numpy(), weight_KC.numpy()
    maps = np.zeros((len(weight), *feature.shape[1:]))
    for k, weight_C in enumerate(weight):
        for c, each in enumerate(weight_C):
            maps[k] += each * feature[c]
        maps[k] = np.maximum(maps[k], 0)
        if maps[k].max() > 0:
            maps[k] /= maps[k].max()
    return maps


def cam_with_a_convolution_in_float64(feature_Chw, weight_KC):
    kernel = weight_KC.double()[:, :, None, None]
    map_Khw = F.conv2d(feature_Chw.double()[None], kernel)[0].clamp(min=0)
    return map_Khw / map_Khw.flatten(1).max(dim=1).values[:, None, None].clamp(min=1e-12)


@pytest.mark.parametrize(
    "answer", [cam_with_einsum, cam_with_loops_and_numpy, cam_with_a_convolution_in_float64]
)
def test_right_maps_pass(answer, capsys):
    check_cam(answer)
    assert "Right." in capsys.readouterr().out


def minmax(map_Khw):
    low = map_Khw.amin(dim=(1, 2), keepdim=True)
    return (map_Khw - low) / (peaks(map_Khw) - low)


WRONG_MAPS = {
    "where does the ReLU go": lambda f, w: logits(f, w) / peaks(logits(f, w)),
    "negative values": logits,
    "that is a score": lambda f, w: w @ f.mean(dim=(1, 2)),
    "largest of all classes": lambda f, w: logits(f, w).relu() / logits(f, w).relu().max(),
    "minimum to maximum": lambda f, w: minmax(logits(f, w)),
    "has to be divided": lambda f, w: logits(f, w).relu(),
    "drops the negative weights": lambda f, w: cam_with_einsum(f, w.relu()),
    "sigmoid": lambda f, w: logits(f, w).sigmoid(),
    "over the classes": lambda f, w: (
        logits(f, w).relu() / logits(f, w).relu().amax(0).clamp(min=1e-5)
    ),
    "0 / 0": lambda f, w: logits(f, w).relu() / peaks(logits(f, w).relu()),
    "has the shape": lambda f, w: cam_with_einsum(f, w)[None],
    "Three steps": lambda f, w: cam_with_einsum(f, w) ** 2,
    "stops with": lambda f, w: w.T @ f,
    "no answer yet": lambda f, w: ...,
    "is there a `return`": lambda f, w: None,
}


@pytest.mark.parametrize("hint", WRONG_MAPS)
def test_a_wrong_map_gets_its_hint(hint, same_inputs):
    with pytest.raises(WrongAnswer, match=f"(?i){hint}"):
        check_cam(WRONG_MAPS[hint])


# the two views


def unit(map_hw):
    return map_hw / map_hw.max()


RIGHT_FUSIONS = [
    lambda photo, mirror: unit(photo + mirror.flip(-1)),
    lambda photo, mirror: unit((photo.double() + mirror.double()[:, ::1].fliplr()) / 2),
    lambda photo, mirror: (photo + mirror.flip(1)) / ((photo + mirror.flip(1)).max() + 1e-5),
    lambda photo, mirror: unit(photo.numpy() + mirror.numpy()[:, ::-1]),
]


@pytest.mark.parametrize("answer", RIGHT_FUSIONS)
def test_right_fusions_pass(answer, capsys):
    check_fuse(answer)
    assert "Right." in capsys.readouterr().out


WRONG_FUSIONS = {
    "flip it back before": lambda photo, mirror: unit(photo + mirror),
    "up and down": lambda photo, mirror: unit(photo + mirror.flip(0)),
    "left and right": lambda photo, mirror: unit(photo + mirror.flip(0, 1)),
    "map of the mirror image": lambda photo, mirror: unit(photo.flip(1) + mirror),
    "add first, divide once": lambda photo, mirror: unit(unit(photo) + unit(mirror.flip(1))),
    "should count little": lambda photo, mirror: (unit(photo) + unit(mirror.flip(1))) / 2,
    "still has to be divided": lambda photo, mirror: photo + mirror.flip(1),
    "divided by its maximum": lambda photo, mirror: (photo + mirror.flip(1)) / 2,
    "keeps the larger": lambda photo, mirror: unit(torch.maximum(photo, mirror.flip(1))),
    "Three steps": lambda photo, mirror: unit(photo),
    "has the shape": lambda photo, mirror: torch.stack((photo, mirror.flip(1))),
    "no answer yet": lambda photo, mirror: ...,
    "is there a `return`": lambda photo, mirror: None,
}


@pytest.mark.parametrize("hint", WRONG_FUSIONS)
def test_a_wrong_fusion_gets_its_hint(hint, same_inputs):
    with pytest.raises(WrongAnswer, match=hint):
        check_fuse(WRONG_FUSIONS[hint])


# average precision


def precision_at_hits(score_N, truth_N):
    hit_N = truth_N[score_N.argsort(descending=True)].double()
    rank_N = torch.arange(1, len(hit_N) + 1)
    return hit_N, hit_N.cumsum(0) / rank_N


def ap_of_tensors(score_N, truth_N):
    hit_N, precision_N = precision_at_hits(score_N, truth_N)
    return precision_N[hit_N.bool()].mean()


def ap_with_a_loop(score_N, truth_N):
    pairs = sorted(zip(score_N.tolist(), truth_N.tolist()), reverse=True)
    hits, total = 0, 0.0
    for rank, (_, true) in enumerate(pairs, start=1):
        if true:
            hits += 1
            total += hits / rank
    return total / hits


def ap_as_area(score_N, truth_N):
    hit_N, precision_N = precision_at_hits(score_N, truth_N)
    recall_N = hit_N.cumsum(0) / hit_N.sum()
    return float((recall_N.diff(prepend=torch.zeros(1).double()) * precision_N).sum())


def ap_in_an_array_of_one(score_N, truth_N):
    return np.array([ap_with_a_loop(score_N, truth_N)])[0]


@pytest.mark.parametrize(
    "answer", [ap_of_tensors, ap_with_a_loop, ap_as_area, ap_in_an_array_of_one]
)
def test_right_average_precisions_pass(answer, capsys):
    check_average_precision(answer)
    assert "Right." in capsys.readouterr().out


def trapezoid(score_N, truth_N):
    hit_N, precision_N = precision_at_hits(score_N, truth_N)
    return torch.trapezoid(precision_N, hit_N.cumsum(0) / hit_N.sum())


def interpolated(score_N, truth_N):
    hit_N, precision_N = precision_at_hits(score_N, truth_N)
    return precision_N.flip(0).cummax(0).values.flip(0)[hit_N.bool()].mean()


def unsorted(score_N, truth_N):
    return ap_of_tensors(-torch.arange(len(truth_N)), truth_N)


def mean_recall(score_N, truth_N):
    hit_N, _ = precision_at_hits(score_N, truth_N)
    return (hit_N.cumsum(0) / hit_N.sum()).mean()


WRONG_PRECISIONS = {
    "begins with the lowest": lambda s, t: ap_of_tensors(-s, t),
    "in the order in which they came": unsorted,
    "over every rank": lambda s, t: precision_at_hits(s, t)[1].mean(),
    "number of all photos": lambda s, t: ap_of_tensors(s, t) * t.double().mean(),
    "averages the recall": mean_recall,
    "straight lines": trapezoid,
    "interpolated average precision": interpolated,
    "share of photos that have the class": lambda s, t: t.double().mean(),
    "The value differs": lambda s, t: 1.0,
    "one number": lambda s, t: precision_at_hits(s, t)[1],
    "no answer yet": lambda s, t: ...,
}


@pytest.mark.parametrize("hint", WRONG_PRECISIONS)
def test_a_wrong_average_precision_gets_its_hint(hint, same_inputs):
    with pytest.raises(WrongAnswer, match=hint):
        check_average_precision(WRONG_PRECISIONS[hint])


@pytest.mark.parametrize("check", [check_cam, check_fuse, check_average_precision])
@pytest.mark.parametrize("blank", [None, ..., 0.5])
def test_a_blank_is_refused(check, blank):
    with pytest.raises(WrongAnswer):
        check(blank)


@pytest.mark.parametrize("check", [check_cam, check_fuse, check_average_precision])
def test_a_stub_is_refused(check):
    def stub(*arguments):
        raise NotImplementedError

    with pytest.raises(WrongAnswer, match="no answer yet"):
        check(stub)


def test_a_check_leaves_the_random_numbers_of_the_notebook_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check_average_precision(ap_with_a_loop)
    assert torch.equal(torch.rand(2), expected)


def test_the_inputs_are_never_the_same():
    one, other = (torch.rand(3, generator=chapter2.fresh_generator()) for _ in range(2))
    assert not torch.equal(one, other)
