"""Masks of new photos: what a network of a run says of photos that lie anywhere.

A photo is looked at as the ``val`` photos of the run were, so that of these the very predictions of the run are made again.
Memory is bounded by the pixels of a batch: photos are opened when their turn comes, one batch ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from wsss_lib.data.augmentation import normalise
from wsss_lib.data.batches import same_size_batches
from wsss_lib.data.layout import InputError, read_photo
from wsss_lib.data.photo_files import upright_size
from wsss_lib.data.sources.photos import within
from wsss_lib.methods.deeplab import upsampled
from wsss_lib.pipeline.processes import AHEAD, FEW, free_cpus, map_processes
from wsss_lib.pipeline.trained import Trained
from wsss_lib.pipeline.work import Batch

MAX_SIDE = 1000  # pixels, as `wsss prepare` writes photos
IN_FLIGHT = 2 * 2**30  # bytes of probabilities that wait for the CRF
READERS = 4  # threads that decode photos

Seen = tuple[Path, np.ndarray, np.ndarray | None]


def predict(
    network: Trained,
    photos: Sequence[Path],
    *,
    tags_NK: np.ndarray | None = None,
    refined: bool | None = None,
    max_side: int | None = MAX_SIDE,
    batch_pixels: int | None = None,
    probabilities: bool = False,
    made: Callable[[Path], bool] = lambda file: False,
) -> Iterator[Seen]:
    """Labels the pixels of photos, of the largest first.

    Args:
        network: see `wsss_lib.pipeline.trained.trained`.
        photos: files.
        tags_NK: the tags of each photo, for a network that is told them.
        refined: let the CRF refine the labels; None: as the stage says.
        max_side: photos with a longer side are made smaller before the network and the CRF look at them; None or 0: none is.
        batch_pixels: pixels that are looked at together, as in the stage; None: the stage's.
        probabilities: give them too.
        made: photos of which nothing is wanted. The batches are the same with them as without, so that on a CPU even their
            rounding is.

    Yields:
        The file of a photo; ``label_HW``, uint8, at its size; and, if wanted, ``probability_LHW`` as the network sees it before
        any refinement, float32, at the size that was looked at or coarser.

    Raises:
        InputError: when all others are given: photos that cannot be read, by name; or the memory of the device does not do.
    """
    settings, broken = network.settings, {}
    sizes = dict(sizes_of(photos, broken))
    files = list(sizes)
    batches = same_size_batches(
        [within(max_side, *size) for size in sizes.values()],
        batch_pixels or settings.batch_pixels,
        views=settings.views(),
        scale=max(settings.scales),
    )
    wanted = {file for file in files if not made(file)}
    batches = [[files[i] for i in batch] for batch in batches]
    batches = [batch for batch in batches if not wanted.isdisjoint(batch)]
    refined = settings.refine if refined is None else refined
    if tags_NK is None:
        tags_NK = np.zeros((len(photos), len(network.names) - 1), dtype=bool)
    tag_K = dict(zip(photos, tags_NK))

    def jobs() -> Iterator[tuple]:
        for batch, images in read_ahead(batches, max_side, broken):
            tag_BK = np.stack([tag_K[file] for file in batch])
            for job in zip(batch, images, look(network, images, tag_BK), tag_BK):
                if job[0] in wanted:
                    yield *job, sizes[job[0]]

    scores = partial(settings.scores, network.work.recipe, refined=refined)
    labelled = map_processes(
        partial(label, scores, keep=probabilities),
        jobs(),
        processes(wanted, sizes, max_side, len(network.names)) if refined else 1,
    )
    with tqdm(total=len(wanted), unit=" photos", disable=not network.work.progress) as bar:
        for seen in labelled:
            yield seen
            bar.update()
    refuse_broken(broken, len(photos))


def sizes_of(photos: Sequence[Path], broken: dict) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Each photo with its height and width, upright; those whose head cannot be read are put among the broken ones."""
    for file in photos:
        try:
            yield file, upright_size(file)
        except InputError as error:
            broken[file] = error


def processes(
    wanted: set[Path], sizes: dict[Path, tuple[int, int]], max_side: int | None, labels: int
) -> int:
    """How many processes the CRF gets: as many as the memory holds photos for."""
    if len(wanted) < FEW:
        return 1
    largest = max(np.prod(within(max_side, *sizes[file])) for file in wanted)
    return min(free_cpus(), max(1, int(IN_FLIGHT // (4 * labels * largest * AHEAD))))


def read_ahead(
    batches: Sequence[list[Path]], max_side: int | None, broken: dict
) -> Iterator[tuple[list[Path], list[np.ndarray]]]:
    """Each batch with its photos, ``image_HW3``, while the next one is being read; without those that cannot be."""
    with ThreadPoolExecutor(READERS) as threads:
        reading: deque[tuple[Path, Future]] = deque()
        for batch in [*batches, []]:
            coming = [(file, threads.submit(read, file, max_side)) for file in batch]
            files, images = [], []
            for file, future in reading:
                try:
                    images.append(future.result())
                    files.append(file)
                except InputError as error:
                    broken[file] = error
            reading = coming
            if files:
                yield files, images


def read(file: Path, max_side: int | None) -> np.ndarray:
    """A photo as uint8 ``(H, W, 3)``, upright, and made smaller if it is larger than wished."""
    image = read_photo(file)
    height, width = within(max_side, image.height, image.width)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)
    return np.array(image)


def look(network: Trained, images: Sequence[np.ndarray], tag_BK: np.ndarray) -> np.ndarray:
    """``probability_BLHW`` of photos of one size, as the network sees them."""
    work = network.work
    image_BCHW = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    image_BCHW = normalise(image_BCHW.to(work.device))
    tag_BK = torch.from_numpy(tag_BK).to(image_BCHW)
    try:
        seen = network.settings.look(work, network.model, Batch([], image_BCHW, tag_BK))
        return seen.cpu().numpy()
    except torch.cuda.OutOfMemoryError as error:
        count, height, width = len(images), *image_BCHW.shape[-2:]
        raise InputError(
            f"the memory of the device does not do for {count} photo(s) of {width} x {height} pixels: lower "
            "--batch-pixels or --max-side. What is finished is kept"
        ) from error


def label(
    scores: Callable,
    file: Path,
    image_HW3: np.ndarray,
    probability_LHW: np.ndarray,
    tag_K: np.ndarray,
    size: tuple[int, int],
    keep: bool,
) -> Seen:
    """The label of each pixel of a photo: the job of a process, on a CPU."""
    score_LHW = scores(*map(torch.from_numpy, (image_HW3, probability_LHW, tag_K)))
    label_HW = largest(score_LHW, size).to(torch.uint8).numpy()
    return file, label_HW, probability_LHW if keep else None


def largest(score_LHW: Tensor, size: tuple[int, int]) -> Tensor:
    """The label with the largest score in each pixel of a larger size; all scores of a huge photo are never there at once.

    Args:
        score_LHW: interpolated bilinearly.
        size: height and width of the labels.
    """
    if tuple(score_LHW.shape[-2:]) == tuple(size):
        return score_LHW.argmax(dim=0)
    best_HW, label_HW = torch.full(size, -torch.inf), torch.zeros(size, dtype=torch.uint8)
    for label, score_HW in enumerate(score_LHW):
        score_HW = upsampled(score_HW[None, None], size)[0, 0]
        label_HW[score_HW > best_HW] = label
        best_HW = torch.maximum(best_HW, score_HW)
    return label_HW


def refuse_broken(broken: dict[Path, InputError], photos: int) -> None:
    """Raises an InputError that names all photos that could not be read, and why."""
    if broken:
        why = "; ".join(f"{file} ({error.__cause__ or error})" for file, error in broken.items())
        raise InputError(
            f"{len(broken)} of {photos} photos cannot be read, all others are done; copy or download these "
            f"again: {why}"
        )
