"""How good a mask, a map or a classifier is.

Everything about masks follows from one confusion matrix over all photos, as in PASCAL VOC
(Everingham et al., IJCV 2015): rows are the truth, columns the prediction, void is left out.
A class that is neither in the truth nor in the prediction has no value (nan) and is left out of
means. Arguments may be tensors or numpy arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.data.layout import VOID


def confusion_matrix(truth_HW: Tensor, prediction_HW: Tensor, num_labels: int) -> Tensor:
    """How often each true label (row) is predicted as each label (column): int64 ``(L, L)``.

    Args:
        truth_HW: labels 0 ... L - 1, or 255 for void, which is not counted.
        prediction_HW: labels 0 ... L - 1; where the truth is void it may be anything.
        num_labels: L, background included.

    Raises:
        ValueError: the shapes differ or a label is beyond L.
    """
    truth, prediction = torch.as_tensor(truth_HW), torch.as_tensor(prediction_HW)
    _check(truth, prediction.shape, num_labels)
    valid = truth != VOID
    truth, prediction = truth[valid].long(), prediction[valid].long()
    if prediction.numel() and not 0 <= prediction.min() <= prediction.max() < num_labels:
        raise ValueError(f"the prediction holds a label beyond 0 ... {num_labels - 1}")
    pairs = torch.bincount(truth * num_labels + prediction, minlength=num_labels**2)
    return pairs.view(num_labels, num_labels)


def iou_per_class(confusion: Tensor) -> Tensor:
    """Intersection over union of each class, float64 ``(..., L)`` from ``(..., L, L)``."""
    hit, truth, predicted = _counts(confusion)
    return hit / (truth + predicted - hit)


def mean_iou(confusion: Tensor) -> float:
    """The mean of :func:`iou_per_class` over the classes that have one: mIoU."""
    return float(iou_per_class(confusion).nanmean())


def false_positive_rate(confusion: Tensor) -> Tensor:
    """Share of each class's union that is predicted but not true (IRN's ``eval_sem_seg``).

    With :func:`false_negative_rate` and :func:`iou_per_class` it adds up to 1.
    """
    hit, truth, predicted = _counts(confusion)
    return (predicted - hit) / (truth + predicted - hit)


def false_negative_rate(confusion: Tensor) -> Tensor:
    """Share of each class's union that is true but not predicted (IRN's ``eval_sem_seg``)."""
    hit, truth, predicted = _counts(confusion)
    return (truth - hit) / (truth + predicted - hit)


def precision(confusion: Tensor) -> Tensor:
    """Share of the pixels predicted as a class that are of it; nan where it is never predicted."""
    hit, _, predicted = _counts(confusion)
    return hit / predicted


def recall(confusion: Tensor) -> Tensor:
    """Share of the pixels of a class that are predicted as it; nan where it never occurs."""
    hit, truth, _ = _counts(confusion)
    return hit / truth


class ThresholdSweep:
    """Evaluates maps at every background threshold in one pass over the photos.

    At threshold t a pixel is background where the largest map is <= t, else of the class of the
    largest map. So it is enough to count, for each true label and each class of the largest map,
    how many thresholds lie below that map: one histogram of L x K x (levels + 2) numbers holds the
    confusion matrices of all thresholds, and they equal those of one evaluation per threshold.

    Args:
        num_labels: L, background included.
        levels: the thresholds are 0, 1/levels, ..., 1; the default steps by 0.005.

    Attributes:
        thresholds: float64 ``(levels + 1,)``.
        best_thresholds: for each photo added, its own best threshold (the lowest of equals; nan
            where all is void).
    """

    def __init__(self, num_labels: int, levels: int = 200) -> None:
        self.num_labels, self.levels = num_labels, levels
        self.thresholds = torch.arange(levels + 1, dtype=torch.float64) / levels
        self.best_thresholds: list[float] = []
        self._counts_LKn = torch.zeros(num_labels, num_labels - 1, levels + 2, dtype=torch.int64)
        self._own_confusion = torch.zeros(num_labels, num_labels, dtype=torch.int64)

    def add(self, map_kHW: Tensor, classes_k: Sequence[int] | Tensor, truth_HW: Tensor) -> None:
        """Count one photo.

        Args:
            map_kHW: one map in [0, 1] per class, at the size of the truth; k = 0 predicts
                background everywhere. Of equal maps the first counts.
            classes_k: the classes of the maps, 0-based without background.
            truth_HW: labels 0 ... L - 1, or 255 for void.

        Raises:
            ValueError: the shapes differ, a label is beyond L, or a map holds nan.
        """
        truth, classes = torch.as_tensor(truth_HW), torch.as_tensor(classes_k).long()
        map_kHW = torch.as_tensor(map_kHW).to(truth.device)
        if len(classes) == 0:  # as good as a class that is nowhere
            map_kHW, classes = torch.zeros(1, *truth.shape, device=truth.device), torch.tensor([0])
        _check(truth, map_kHW.shape[1:], self.num_labels)
        if len(classes) != len(map_kHW):
            raise ValueError(f"{len(map_kHW)} maps for {len(classes)} classes")
        counts_Lkn = self._histogram(map_kHW, truth).cpu()
        self._counts_LKn[:, classes] += counts_Lkn
        self._choose(counts_Lkn, classes)

    def confusion(self, threshold_index: int) -> Tensor:
        """The confusion matrix at ``thresholds[threshold_index]``, int64 ``(L, L)``."""
        return _confusions(self._counts_LKn)[threshold_index]

    def miou(self) -> Tensor:
        """The mIoU at every threshold, float64 ``(levels + 1,)``."""
        return iou_per_class(_confusions(self._counts_LKn)).nanmean(dim=-1)

    def best(self) -> tuple[float, float]:
        """The best threshold (the lowest of equals) and its mIoU."""
        miou = self.miou()
        index = int(miou.argmax())
        return float(self.thresholds[index]), float(miou[index])

    def at(self, threshold: float) -> float:
        """The mIoU at the threshold of the grid that is nearest."""
        return float(self.miou()[round(min(max(threshold, 0), 1) * self.levels)])

    def band(self, bar: float) -> float:
        """Total width of the thresholds whose mIoU is at least ``bar``: 1 if all are."""
        above = self.miou() >= bar
        return int((above[:-1] & above[1:]).sum()) / self.levels

    @property
    def miou_best_per_image(self) -> float:
        """The mIoU over all photos when each takes the threshold at which its own mIoU is best."""
        return mean_iou(self._own_confusion)

    def __add__(self, other: ThresholdSweep) -> ThresholdSweep:
        """The sweep over the photos of both, for work shared between processes."""
        if (self.num_labels, self.levels) != (other.num_labels, other.levels):
            raise ValueError("sweeps with other labels or levels cannot be added")
        both = ThresholdSweep(self.num_labels, self.levels)
        both.best_thresholds = self.best_thresholds + other.best_thresholds
        both._counts_LKn = self._counts_LKn + other._counts_LKn
        both._own_confusion = self._own_confusion + other._own_confusion
        return both

    def _histogram(self, map_kHW: Tensor, truth_HW: Tensor) -> Tensor:
        """Pixels by true label, class of the largest map, and thresholds below it: ``(L, k, n)``."""
        score, winner = map_kHW.max(dim=0)
        if score.isnan().any():
            raise ValueError("a map holds nan")
        # thresholds are rounded to the map's precision, as `map > threshold` does
        wide = torch.promote_types(score.dtype, torch.float32)
        grid = self.thresholds.to(score).to(wide)
        below = torch.bucketize(score.to(wide), grid)  # how many thresholds are < score
        L, k, n = self.num_labels, len(map_kHW), self.levels + 2
        row = truth_HW.long().clamp(max=L)  # void: one row more, dropped below
        counts = torch.bincount(
            ((row * k + winner) * n + below).flatten(), minlength=(L + 1) * k * n
        )
        return counts.view(L + 1, k, n)[:L]

    def _choose(self, counts_Lkn: Tensor, classes_k: Tensor) -> None:
        """Let the photo take its own best threshold; only its own labels are looked at."""
        occurs = counts_Lkn.sum(dim=(1, 2)) > 0
        if not occurs.any():
            self.best_thresholds.append(float("nan"))
            return
        first = [0, *(classes_k + 1).tolist()]
        occurs[first] = False
        labels = torch.tensor([*first, *occurs.nonzero().flatten().tolist()])
        confusions = _confusions(counts_Lkn[labels])
        index = int(iou_per_class(confusions).nanmean(dim=-1).argmax())
        self.best_thresholds.append(float(self.thresholds[index]))
        self._own_confusion[labels[:, None], labels] += confusions[index]


def average_precision(score_N: Tensor, truth_N: Tensor) -> float:
    """Area under the precision-recall curve as a step function, without interpolation.

    AP = sum_n (R_n - R_{n-1}) P_n over the distinct scores, highest first; nan without positives.

    Args:
        score_N: the higher, the surer; any unit.
        truth_N: whether the class is there.
    """
    score, order = torch.as_tensor(score_N).double().sort(descending=True)
    hits = torch.as_tensor(truth_N).bool()[order].cumsum(0).double()
    if len(hits) == 0 or hits[-1] == 0:
        return float("nan")
    last_of_equals = torch.cat((score[1:] != score[:-1], score.new_ones(1, dtype=torch.bool)))
    rank = torch.arange(1, len(score) + 1, dtype=torch.float64, device=score.device)
    precision_n, recall_n = (hits / rank)[last_of_equals], (hits / hits[-1])[last_of_equals]
    return float((recall_n.diff(prepend=recall_n.new_zeros(1)) * precision_n).sum())


def mean_average_precision(score_NK: Tensor, truth_NK: Tensor) -> float:
    """The mean of :func:`average_precision` over the classes that have positives: mAP."""
    score, truth = torch.as_tensor(score_NK), torch.as_tensor(truth_NK)
    each = [average_precision(score[:, k], truth[:, k]) for k in range(score.shape[1])]
    return float(torch.tensor(each, dtype=torch.float64).nanmean())


def _counts(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels hit, true and predicted, of each class."""
    confusion = torch.as_tensor(confusion).double()
    hit = confusion.diagonal(dim1=-2, dim2=-1)
    return hit, confusion.sum(dim=-1), confusion.sum(dim=-2)


def _confusions(counts_mkn: Tensor) -> Tensor:
    """Confusion matrices ``(levels + 1, m, m)`` from the histogram; class j is row j + 1."""
    m, k, _ = counts_mkn.shape
    # at threshold i a pixel is foreground if more than i thresholds lie below its map
    foreground_mki = counts_mkn.flip(-1).cumsum(-1).flip(-1)[..., 1:]
    background_mi = counts_mkn.sum(dim=(1, 2))[:, None] - foreground_mki.sum(dim=1)
    columns = torch.cat((background_mi[:, None], foreground_mki), dim=1)
    return F.pad(columns.permute(2, 0, 1), (0, m - k - 1))


def _check(truth_HW: Tensor, shape: Sequence[int], num_labels: int) -> None:
    if tuple(truth_HW.shape) != tuple(shape):
        raise ValueError(f"the truth is {tuple(truth_HW.shape)}, the other {tuple(shape)}")
    beyond = (truth_HW >= num_labels) & (truth_HW != VOID)
    if beyond.any() or (truth_HW < 0).any():
        raise ValueError(f"the truth holds a label beyond 0 ... {num_labels - 1} that is not void")
