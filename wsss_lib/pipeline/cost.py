"""What stages cost, in units that a machine can be timed at; see `wsss_lib.pipeline.estimate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsss_lib.data.photos import Photos


@dataclass(frozen=True)
class Cost:
    """What a stage takes, in units that a machine can be timed at.

    Attributes:
        passes: pixels that go forward through its network. A backward pass counts as one or two more forward passes: one
            towards the photo, another one towards the weights.
        refined: pixels that the CRF refines, times the labels that each may have.
    """

    passes: float = 0.0
    refined: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.passes + other.passes, self.refined + other.refined)


def pixels_of(photos: Photos, times: Sequence[float] | None = None) -> float:
    """All pixels of some photos, each photo counted so many times."""
    areas = [height * width for height, width in photos.sizes]
    return sum(areas) if times is None else sum(a * n for a, n in zip(areas, times, strict=True))


def labels_of(photos: Photos) -> list[int]:
    """How many labels a pixel of each photo may have: the background and its tags."""
    return (1 + photos.tags_NK.sum(dim=1)).tolist()
