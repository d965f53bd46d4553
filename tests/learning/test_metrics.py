"""Metrics against literal double loops, examples by hand, and the sweep against brute force."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from wsss_lib.learning import metrics
from wsss_lib.learning.metrics import ThresholdSweep, average_precision, confusion_matrix, mean_iou

nan = float("nan")


def literal_confusion(truth, prediction, num_labels):
    counts = [[0] * num_labels for _ in range(num_labels)]
    for true_row, predicted_row in zip(truth.tolist(), prediction.tolist(), strict=True):
        for t, p in zip(true_row, predicted_row, strict=True):
            if t != 255:
                counts[t][p] += 1
    return counts


def literal_miou(counts):
    ious = []
    for c in range(len(counts)):
        hit = counts[c][c]
        union = sum(counts[c]) + sum(row[c] for row in counts) - hit
        if union:
            ious.append(hit / union)
    return sum(ious) / len(ious) if ious else nan


def masks(seed, num_labels, size=(13, 17)):
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, num_labels, size, generator=generator).to(torch.uint8)
    truth[torch.rand(size, generator=generator) < 0.1] = 255
    return truth, torch.randint(0, num_labels, size, generator=generator).to(torch.uint8)


@pytest.mark.parametrize("num_labels", [2, 5, 21, 81])
def test_confusion_matrix_equals_counting(num_labels):
    truth, prediction = masks(num_labels, num_labels)
    confusion = confusion_matrix(truth, prediction, num_labels)
    assert confusion.dtype == torch.int64
    assert confusion.tolist() == literal_confusion(truth, prediction, num_labels)
    assert mean_iou(confusion) == pytest.approx(literal_miou(confusion.tolist()), rel=1e-12)
    same = confusion_matrix(truth.numpy(), prediction.numpy(), num_labels)
    assert torch.equal(same, confusion)


def test_rates_by_hand():
    # class 0: 6 hit, 8 true, 7 predicted; class 1: 2 hit, 3 true, 4 predicted; class 2: nowhere
    confusion = torch.tensor([[6, 2, 0], [1, 2, 0], [0, 0, 0]])
    close = dict(rtol=1e-12, atol=0, equal_nan=True)
    for function, expected in (
        (metrics.iou_per_class, [6 / 9, 2 / 5, nan]),
        (metrics.false_positive_rate, [1 / 9, 2 / 5, nan]),
        (metrics.false_negative_rate, [2 / 9, 1 / 5, nan]),
        (metrics.precision, [6 / 7, 2 / 4, nan]),
        (metrics.recall, [6 / 8, 2 / 3, nan]),
    ):
        expected = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(function(confusion), expected, **close)
    assert mean_iou(confusion) == pytest.approx((6 / 9 + 2 / 5) / 2)


def test_a_class_that_is_only_predicted_or_only_true_counts_as_zero():
    assert metrics.iou_per_class(torch.tensor([[4, 1], [0, 0]])).tolist() == [0.8, 0]
    assert metrics.iou_per_class(torch.tensor([[4, 0], [1, 0]])).tolist() == [0.8, 0]
    assert math.isnan(mean_iou(torch.zeros(2, 2, dtype=torch.int64)))


def test_labels_beyond_the_classes_and_other_shapes_are_refused():
    truth = torch.tensor([[0, 1, 255]])
    confusion_matrix(truth, torch.tensor([[0, 1, 255]]), 2)  # void hides the last pixel
    for wrong_truth, prediction in (
        (truth, [[2, 0, 0]]),
        (truth, [[0, -1, 0]]),
        (truth + 1, [[0, 0, 0]]),
        (truth[:, :2], [[0, 0, 0]]),
    ):
        with pytest.raises(ValueError):
            confusion_matrix(wrong_truth, torch.tensor(prediction), 2)


def photos(seed, num_labels, count, size=(24, 30), dtype=torch.float32):
    """Maps of 0 to 3 classes with many ties on the grid of thresholds, and truths with void."""
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        k = min(number % 4, num_labels - 1)
        classes = torch.randperm(num_labels - 1, generator=generator)[:k].sort().values
        map_kHW = torch.rand(k, *size, generator=generator)
        if number % 3:  # on the grid, also exactly 0 and 1
            map_kHW = (map_kHW * 20).round() / 20
        truth, _ = masks(seed * 100 + number, num_labels, size)
        if number % 2:  # mostly what the maps can find
            choice = torch.randint(0, k + 1, size, generator=generator)
            truth = torch.tensor([0, *(classes + 1).tolist()])[choice]
        yield map_kHW.to(dtype), classes, truth


def predict(map_kHW, classes, threshold, size):
    if len(classes) == 0:
        return torch.zeros(size, dtype=torch.int64)
    best, winner = map_kHW.max(dim=0)
    return torch.where(best > threshold, classes[winner] + 1, 0)


def brute_force(examples, num_labels, threshold):
    confusion = torch.zeros(num_labels, num_labels, dtype=torch.int64)
    for map_kHW, classes, truth in examples:
        prediction = predict(map_kHW, classes, threshold, truth.shape)
        confusion += confusion_matrix(truth, prediction, num_labels)
    return confusion


def swept(examples, num_labels, levels):
    sweep = ThresholdSweep(num_labels, levels)
    for example in examples:
        sweep.add(*example)
    return sweep


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(("num_labels", "levels"), [(2, 1), (4, 20), (9, 200), (21, 100)])
def test_sweep_equals_brute_force_at_every_threshold(num_labels, levels, dtype):
    examples = list(photos(levels, num_labels, 9, dtype=dtype))
    sweep = swept(examples, num_labels, levels)
    miou = sweep.miou()
    assert miou.shape == sweep.thresholds.shape == (levels + 1,)
    for index, threshold in enumerate(sweep.thresholds.tolist()):
        confusion = brute_force(examples, num_labels, threshold)
        assert torch.equal(sweep.confusion(index), confusion)
        assert float(miou[index]) == pytest.approx(mean_iou(confusion), rel=1e-12)


def test_sweep_equals_a_literal_loop_where_scores_lie_on_thresholds():
    """One pixel for each multiple of 1/200 and its neighbours in float32, compared one by one."""
    score = np.arange(201, dtype=np.float64).astype(np.float32) / np.float32(200)
    score = np.concatenate([score, np.nextafter(score, np.float32(2)), np.nextafter(score, -1)])
    sweep = ThresholdSweep(2, 200)
    sweep.add(score[None, None], [0], np.ones((1, len(score)), dtype=np.uint8))
    for index in range(201):
        above = sum(float(s) > float(np.float32(index / 200)) for s in score)
        assert sweep.confusion(index).tolist() == [[0, 0], [len(score) - above, above]]


def test_background_wins_a_tie_and_the_first_of_equal_maps_counts():
    sweep = ThresholdSweep(4, 10)
    sweep.add(torch.tensor([[[0.5]], [[0.5]]]), [1, 2], torch.tensor([[2]]))
    predicted = [int(sweep.confusion(i)[2].argmax()) for i in range(11)]
    assert predicted == [2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0]


def test_each_photo_at_its_own_best_threshold_equals_brute_force():
    num_labels, levels = 9, 40
    examples = list(photos(5, num_labels, 12))
    sweep = swept(examples, num_labels, levels)
    total = torch.zeros(num_labels, num_labels, dtype=torch.int64)
    for example, own in zip(examples, sweep.best_thresholds, strict=True):
        each = [brute_force([example], num_labels, i / levels) for i in range(levels + 1)]
        mious = [literal_miou(c.tolist()) for c in each]
        best = max(mious)
        index = next(i for i, miou in enumerate(mious) if miou > best - 1e-12)
        assert own == index / levels
        total += each[index]
    assert sweep.miou_best_per_image == pytest.approx(mean_iou(total), rel=1e-12)
    assert len(set(sweep.best_thresholds)) > 3


def test_best_at_and_band_read_the_curve():
    sweep = ThresholdSweep(2, 10)
    # object 0.75, ground 0.32: perfect from 0.4 to 0.7; all object below, all background above
    sweep.add(torch.tensor([[[0.75, 0.32, 0.32]]]), [0], torch.tensor([[1, 0, 0]]))
    assert sweep.best() == (0.4, 1.0)
    assert sweep.at(0.5) == sweep.at(0.52) == sweep.at(0.71) == 1.0
    assert sweep.at(0.1) == pytest.approx((0 + 1 / 3) / 2)
    assert sweep.at(0.9) == sweep.at(7.0) == pytest.approx((2 / 3 + 0) / 2)
    assert sweep.band(1.0) == pytest.approx(0.3) and sweep.band(0.0) == 1.0
    assert sweep.best_thresholds == [0.4]


def test_a_photo_without_classes_is_all_background_and_all_void_says_nothing():
    sweep = ThresholdSweep(3, 4)
    sweep.add(torch.zeros(0, 1, 2), [], torch.tensor([[0, 2]]))
    for index in range(5):
        assert sweep.confusion(index).tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    sweep.add(torch.rand(1, 1, 2), [0], torch.tensor([[255, 255]]))
    assert int(sweep.confusion(0).sum()) == 2
    assert sweep.best_thresholds[0] == 0 and math.isnan(sweep.best_thresholds[1])
    assert sweep.miou_best_per_image == pytest.approx(0.25)


def test_sweeps_of_several_processes_add_up():
    examples = list(photos(8, 5, 10))
    whole = swept(examples, 5, 50)
    parts = swept(examples[:3], 5, 50) + swept(examples[3:], 5, 50)
    assert torch.equal(parts.miou(), whole.miou())
    assert parts.best_thresholds == whole.best_thresholds
    assert parts.miou_best_per_image == whole.miou_best_per_image
    with pytest.raises(ValueError, match="cannot be added"):
        whole + ThresholdSweep(5, 10)


def test_wrong_maps_are_refused():
    sweep, truth = ThresholdSweep(3), torch.zeros(4, 5, dtype=torch.uint8)
    for maps, classes in (
        (torch.rand(1, 5, 4), [0]),
        (torch.rand(2, 4, 5), [0]),
        (torch.full((1, 4, 5), nan), [0]),
    ):
        with pytest.raises(ValueError):
            sweep.add(maps, classes, truth)
    with pytest.raises(ValueError, match="not void"):
        sweep.add(torch.rand(1, 4, 5), [0], truth + 3)


def test_one_sweep_is_much_faster_than_one_evaluation_per_threshold():
    examples = list(photos(1, 9, 12, size=(128, 128)))
    swept(examples, 9, 50), brute_force(examples, 9, 0.5)  # warm up
    times = []
    for _ in range(5):
        start = time.perf_counter()
        swept(examples, 9, 50).miou()
        middle = time.perf_counter()
        for index in range(5):  # a tenth of the thresholds
            mean_iou(brute_force(examples, 9, index / 50))
        times.append((middle - start, 10 * (time.perf_counter() - middle)))
    sweep, brute = (min(column) for column in zip(*times, strict=True))
    assert brute > 20 * sweep  # 50 thresholds


def test_average_precision_by_hand():
    # ranks of the positives 1, 3, 4 of 5: AP = (1/1 + 2/3 + 3/4) / 3
    assert average_precision([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 1, 0]) == pytest.approx(
        (1 + 2 / 3 + 3 / 4) / 3, rel=1e-12
    )
    # equal scores are one step: precision 2/3 at recall 2/2
    assert average_precision([0.5, 0.5, 0.5], [1, 0, 1]) == pytest.approx(2 / 3, rel=1e-12)
    # sklearn's documentation example
    assert average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == pytest.approx(5 / 6, rel=1e-12)
    assert math.isnan(average_precision([0.3, 0.2], [0, 0])) and math.isnan(
        average_precision([], [])
    )


def test_average_precision_equals_a_literal_loop():
    generator = torch.Generator().manual_seed(0)
    score = (torch.rand(60, generator=generator) * 15).round()
    truth = torch.rand(60, generator=generator) < 0.3
    area, recall = 0.0, 0.0
    for bar in sorted(set(score.tolist()), reverse=True):
        chosen = [t for s, t in zip(score.tolist(), truth.tolist(), strict=True) if s >= bar]
        new_recall = sum(chosen) / int(truth.sum())
        area += (new_recall - recall) * sum(chosen) / len(chosen)
        recall = new_recall
    assert average_precision(score, truth) == pytest.approx(area, rel=1e-12)


def test_map_leaves_out_classes_without_positives():
    score = torch.tensor([[0.9, 0.1, 0.3], [0.2, 0.8, 0.4], [0.6, 0.3, 0.5]])
    truth = torch.tensor([[True, False, False], [False, False, False], [True, True, False]])
    assert metrics.mean_average_precision(score, truth) == pytest.approx((1 + 1 / 2) / 2)
