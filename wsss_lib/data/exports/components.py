"""The connected components of a mask, from the runs of its rows: numpy alone, since scipy is not needed elsewhere."""

from __future__ import annotations

import numpy as np


def components(mask_HW: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbers the connected components of a mask; pixels that touch at a corner belong together.

    Args:
        mask_HW: bool.

    Returns:
        ``component_HW``, int32, 0 outside of the mask and else from 1 on, in the order of their first pixels; and how many
        there are.
    """
    height, width = mask_HW.shape
    edges = np.diff(np.pad(mask_HW.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row_R, start_R = np.nonzero(edges == 1)
    end_R = np.nonzero(edges == -1)[1]  # in the same order
    parent = list(range(len(row_R)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for above, below in touching(row_R, start_R, end_R, height):
        first, second = sorted((root(above), root(below)))
        parent[second] = first
    roots = np.array([root(run) for run in range(len(parent))], dtype=np.int64)
    _, number_R = np.unique(roots, return_inverse=True)
    component_HW = np.zeros((height, width), dtype=np.int32)
    component_HW[mask_HW] = np.repeat(number_R + 1, end_R - start_R)
    return component_HW, int(number_R.max(initial=-1)) + 1


def touching(row_R: np.ndarray, start_R: np.ndarray, end_R: np.ndarray, height: int):
    """Yields the pairs of runs, one a row above the other, that touch at a side or a corner."""
    first = np.searchsorted(row_R, np.arange(height + 1))
    for y in range(1, height):
        above, here = first[y - 1], first[y]
        while above < first[y] and here < first[y + 1]:
            if start_R[above] <= end_R[here] and start_R[here] <= end_R[above]:
                yield int(above), int(here)
            if end_R[above] < end_R[here]:
                above += 1
            else:
                here += 1
