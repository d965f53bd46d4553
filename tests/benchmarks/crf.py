"""The dense CRF on drawn photos: what a second process gains, and what each backend costs."""

import collections
import functools
import os
import time
from dataclasses import replace

import torch

from wsss_lib import toy
from wsss_lib.methods.crf import DenseCRF, pydensecrf, refine_labels
from wsss_lib.pipeline.processes import map_processes

CRF = DenseCRF(gaussian_sxy=2, bilateral_sxy=25, bilateral_srgb=8)
PHOTOS = 48
ROUNDS = 3
BAR = 1.4  # of 2: two processes share one machine's memory


def benchmark() -> dict:
    """Times `map_processes` by 1 and 2 processes, in turns, and one photo by each backend.

    On a machine that is busy with other work the ratio says nothing: its CPUs are not free.
    """
    jobs = [_job(index) for index in range(PHOTOS)]
    _many(jobs[:2], processes=2)  # starts the server that the processes come from
    seconds = [[_many(jobs, processes=1), _many(jobs, processes=2)] for _ in range(ROUNDS)]
    one, two = (min(column) for column in zip(*seconds))
    return {
        "ms_per_photo_1_process": round(1000 * one / len(jobs), 1),
        "ms_per_photo_2_processes": round(1000 * two / len(jobs), 1),
        "ratio": round(one / two, 2),
        "bar": BAR if (os.cpu_count() or 1) > 1 else None,
        **{f"{backend}_ms": _one(jobs[0], backend) for backend in _backends()},
    }


def _backends() -> list[str]:
    return [*(["pydensecrf"] if pydensecrf() else []), "lattice", "torch"]


def _many(jobs: list[tuple], processes: int) -> float:
    """Seconds for all jobs."""
    start = time.perf_counter()
    refined = functools.partial(refine_labels, crf=CRF)
    collections.deque(map_processes(refined, jobs, processes), maxlen=0)
    return time.perf_counter() - start


def _one(job: tuple, backend: str) -> float:
    """Milliseconds for one photo with two label maps."""
    crf = replace(CRF, backend=backend)
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        refine_labels(*job, crf)
        seconds.append(time.perf_counter() - start)
    return round(1000 * min(seconds), 1)


def _job(index: int) -> tuple:
    """A drawn photo, two badly placed copies of its labels, and the number of labels."""
    scene = toy.draw(0, "train", index)
    mask_HW = torch.tensor(scene.mask)
    found, label_HW = mask_HW.masked_fill(mask_HW == 255, 0).unique(return_inverse=True)
    label_2HW = torch.stack([label_HW.roll((7, -7), (0, 1)), label_HW.roll((-9, 5), (0, 1))])
    return torch.tensor(scene.image), label_2HW, max(3, len(found))
