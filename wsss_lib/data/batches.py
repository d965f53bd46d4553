"""Batches of photos of one size, by what they cost, the most expensive first."""

from collections import defaultdict
from collections.abc import Sequence


def same_size_batches(
    sizes: Sequence[tuple[int, int]], costs: Sequence[float], limit: float
) -> list[list[int]]:
    """Groups photos of one size into batches whose costs add up to at most ``limit``.

    The largest photos come first: if memory does not do for them, this is known at once.

    Args:
        sizes: height and width of each photo.
        costs: of each photo, in the unit of the limit.
        limit: the largest cost of a batch; a photo that costs more has a batch of its own.

    Returns:
        For each batch the indices of its photos.
    """
    groups = defaultdict(list)
    for index, size in enumerate(sizes):
        groups[tuple(size)].append(index)
    batches = []
    for size in sorted(groups, key=lambda size: -size[0] * size[1]):
        left = 0.0
        for index in groups[size]:
            if costs[index] > left:
                batches.append([])
                left = limit
            batches[-1].append(index)
            left -= costs[index]
    return batches
