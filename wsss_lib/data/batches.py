"""Batches of photos of one size."""

from collections import defaultdict

from wsss_lib.data.photos import Photos


def same_size_batches(
    photos: Photos, limit: int, costs: list[int] | None = None
) -> list[list[int]]:
    """Groups photos of one size into batches whose costs add up to at most ``limit``.

    Args:
        photos: any.
        limit: the largest cost of a batch; a photo that costs more has a batch of its own.
        costs: of each photo; 1 if not given.
    """
    groups = defaultdict(list)
    for index in range(len(photos)):
        groups[photos.size(index)].append(index)
    batches = []
    for group in groups.values():
        left = 0
        for index in group:
            cost = costs[index] if costs else 1
            if cost > left:
                batches.append([])
                left = limit
            batches[-1].append(index)
            left -= cost
    return batches
