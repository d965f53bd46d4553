"""Looks at everything that a run will need, before its first stage begins.

What would stop a run after hours is said in its first minute: photos and masks that cannot be read, weights that are
missing, a batch that cannot be dealt to the processes, a full disk, memory that does not do for the largest batch.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch
from tqdm.auto import tqdm

from wsss_lib.data.layout import ANNOTATIONS, MAX_CLASSES, InputError
from wsss_lib.data.truth import refuse_bad_masks
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.stage import LookingStage, NetworkStage
from wsss_lib.pipeline.work import Work

NO_ROOM = "can't allocate memory"  # as PyTorch says it on a CPU
SPARE = 1.1  # of the files, for what file systems add


def rehearse(work: Work, stages: Sequence[str]) -> None:
    """Looks at what these stages will need, and says what people should know before they begin.

    The photos were looked at when their lists were read.

    Raises:
        InputError: something is missing, broken, or does not fit.
    """
    if not stages:
        return
    refuse_no_tags(work)
    refuse_many_classes(work, stages)
    for split in dict.fromkeys(work.recipe.split(part) for part in ("maps", "val")):
        refuse_bad_masks(work.recipe.data.root, split, progress=work.progress)
    refuse_small_disk(work, stages)
    refuse_what_stages_lack(work, stages)
    for name in stages:
        for sentence in work.recipe.stages[name].warnings(work):
            tqdm.write(f"{name}: {sentence}", file=sys.stderr)


def refuse_what_stages_lack(work: Work, stages: Sequence[str]) -> None:
    """Asks all stages, so that what is missing can be brought in one go: the weights of two networks, say.

    Raises:
        InputError: what the stages say, each thing once.
    """
    said = {}
    for name in stages:
        try:
            work.recipe.stages[name].rehearse(work.of(name))
        except InputError as error:
            said.setdefault(str(error), error)
    if said:
        raise InputError("; ".join(said)) from next(iter(said.values()))


def refuse_no_tags(work: Work) -> None:
    """Photos without a tag are negatives of those that have one.

    Raises:
        InputError: a list to learn from has no tag at all.
    """
    for part in ("train", "maps"):
        photos = work.photos(part)
        if not photos.tags_NK.any():
            raise InputError(
                f"no photo of the list {photos.split} of {photos.root} has a tag, so there is nothing to learn: its "
                f"{ANNOTATIONS} name no object"
            )


def refuse_many_classes(work: Work, stages: Sequence[str]) -> None:
    """A mask holds a label in 8 bits.

    Raises:
        InputError: a stage makes masks of more classes than that.
    """
    classes = work.photos("train").num_classes
    for name in stages:
        if (
            any(kind.holds_labels for kind in work.recipe.stages[name].makes)
            and classes > MAX_CLASSES
        ):
            raise InputError(
                f"{name} makes masks, which hold {MAX_CLASSES} classes at most, but labels.txt names {classes}: "
                "merge or drop some, or stop at the maps"
            )


def bytes_to_write(work: Work, name: str) -> float:
    """About how many bytes a stage will write."""
    total = 0.0
    for kind in work.recipe.stages[name].makes:
        if kind.split is not None:
            photos = work.tagged() if kind.split == "maps" else work.photos(kind.split)
            tags = photos.tags_NK.sum(dim=1).tolist()
            total += sum(kind.size(h, w, k) for (h, w), k in zip(photos.sizes, tags))
    return total


def free_bytes(work: Work) -> int:
    """What is left on the disk of the run."""
    place = Path(work.run.folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def refuse_small_disk(work: Work, stages: Sequence[str]) -> None:
    """Compares what will be written with what is free.

    Raises:
        InputError: there is less.
    """
    needed, free = SPARE * sum(bytes_to_write(work, name) for name in stages), free_bytes(work)
    if free < needed:
        raise InputError(
            f"{work.run.folder} will take about {needed / 1e9:.1f} GB, but its disk has {free / 1e9:.1f} GB left: free some "
            "space, or choose another place with --runs"
        )


def try_largest(work: Work) -> None:
    """Learns one step and looks at the largest batch, with a network that has learned nothing.

    Raises:
        InputError: the memory does not do.
    """
    stage = work.stage
    with memory_is_said(work.name):
        if isinstance(stage, NetworkStage):
            try_step(work, stage)
        if isinstance(stage, LookingStage):
            batch = next(stage.batches(work), None)  # the largest photos come first
            if batch:
                stage.look(work, work.ready(stage.network(work)), batch)
    if work.device.type == "cuda":
        torch.cuda.empty_cache()


def try_step(work: Work, stage: NetworkStage) -> None:
    """Forward and backward of as many photos as are learned from at once."""
    training, batch = stage.training, training_batch(work, stage, work.device)
    model = stage.network(work).to(work.device, memory_format=torch.channels_last).train()
    with work.autocast(training.precision):
        value = stage.loss(model, batch)
    torch.autograd.grad(value, [each for each in model.parameters() if each.requires_grad])


def training_batch(work: Work, stage: NetworkStage, device: torch.device) -> dict:
    """As many photos as one process learns from at once, of the size that it learns from."""
    photos, training = stage.learns_from(work), stage.training
    count = max(1, training.batch_size // (ranks.count() * training.accumulate))
    side = stage.augmentation.crop
    size = (side, side) if side else max(photos.sizes, key=lambda size: size[0] * size[1])
    return {
        "image": torch.zeros(count, 3, *size, device=device),
        "tags": torch.ones(count, photos.num_classes, device=device),
        "mask": torch.ones(count, *size, dtype=torch.uint8, device=device),
    }


@contextlib.contextmanager
def memory_is_said(name: str) -> Iterator[None]:
    """Turns a lack of memory into one sentence: of the device, or of a machine that does not simply end the process.

    Raises:
        InputError: what to lower.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # of the device; of PyTorch on a CPU; of NumPy
        if isinstance(error.__cause__, BrokenProcessPool):
            raise InputError(
                f"{name}: {error}. Everything finished is kept: give the same command again with fewer CPUs (taskset), or make "
                "the photos smaller (wsss prepare --max-side 1000)"
            ) from error
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and NO_ROOM not in str(
            error
        ):
            raise
        raise InputError(
            f"{name}: the memory does not do: lower --{name}.batch-pixels, while it learns raise --{name}.training.accumulate, "
            "or make the photos smaller (wsss prepare --max-side 1000). Everything finished is kept"
        ) from error
