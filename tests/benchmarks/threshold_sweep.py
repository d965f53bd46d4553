"""mIoU at 50 thresholds: one joint histogram a photo against one evaluation a threshold."""

import time

import torch

from wsss_lib.learning.metrics import ThresholdSweep, confusion_matrix

PHOTOS, CLASSES, LEVELS = 10, 20, 50
HEIGHT, WIDTH = 375, 500
BAR = 20


def benchmark() -> dict:
    """Both on photos of VOC's size with three classes; asserts that they count the same."""
    torch.manual_seed(0)
    maps = torch.rand(PHOTOS, 3, HEIGHT, WIDTH)
    truth = torch.randint(0, CLASSES + 1, (PHOTOS, HEIGHT, WIDTH), dtype=torch.uint8)
    classes = torch.tensor([2, 7, 11])

    start = time.perf_counter()
    sweep = ThresholdSweep(CLASSES + 1, LEVELS)
    for map_kHW, truth_HW in zip(maps, truth):
        sweep.add(map_kHW, classes, truth_HW)
    fast = time.perf_counter() - start

    start = time.perf_counter()
    confusions = []
    for threshold in sweep.thresholds:
        total = torch.zeros(CLASSES + 1, CLASSES + 1, dtype=torch.int64)
        for map_kHW, truth_HW in zip(maps, truth):
            score, winner = map_kHW.max(dim=0)
            label = torch.where(score > threshold, classes[winner] + 1, 0)
            total += confusion_matrix(truth_HW, label, CLASSES + 1)
        confusions.append(total)
    slow = time.perf_counter() - start
    for index, confusion in enumerate(confusions):
        assert torch.equal(confusion, sweep.confusion(index))
    return {
        "per_threshold_ms_per_photo": round(1000 * slow / PHOTOS, 1),
        "sweep_ms_per_photo": round(1000 * fast / PHOTOS, 1),
        "ratio": round(slow / fast, 1),
        "bar": BAR,
    }
