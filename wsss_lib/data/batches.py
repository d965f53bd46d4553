"""Batches of photos of one size, by the pixels that a network looks at, the largest first."""

from collections import defaultdict
from collections.abc import Sequence


def same_size_batches(
    sizes: Sequence[tuple[int, int]],
    pixels: int,
    *,
    views: int = 1,
    scale: float = 1.0,
    costs: Sequence[int] | None = None,
) -> list[list[int]]:
    """Groups photos of one size into batches of at most so many pixels.

    The largest photos come first: if memory does not do for them, this is known at once.

    Args:
        sizes: height and width of each photo.
        pixels: that a batch has at most, over all that follows; a photo that has more has a batch of its own.
        views: how often a photo is looked at, at one scale.
        scale: the largest one.
        costs: how many times each photo counts; 1 if not given.

    Returns:
        For each batch the indices of its photos.
    """
    costs = [1] * len(sizes) if costs is None else costs
    groups = defaultdict(list)
    for index, size in enumerate(sizes):
        groups[tuple(size)].append(index)
    batches = []
    for height, width in sorted(groups, key=lambda size: -size[0] * size[1]):
        left = 0.0
        for index in groups[height, width]:
            needed = views * scale**2 * height * width * costs[index]
            if needed > left:
                batches.append([])
                left = pixels
            batches[-1].append(index)
            left -= needed
    return batches
