"""Which photos a training step takes, and with which chance: functions of the seed and of the step alone."""

import hashlib
from collections.abc import Iterator
from functools import partial

import torch
from torch.utils.data import DataLoader, Dataset, Sampler


def step_seed(seed: int, step: int, position: int) -> int:
    """A seed for one place in one step; neighbours have nothing in common."""
    digest = hashlib.blake2b(f"{seed} {step} {position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Seeded(Dataset):
    """Draws the item of a key (index, seed) with that seed, in one thread.

    A photo is small: to hand it from thread to thread takes longer than it saves.
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, seed = key
        torch.manual_seed(seed)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self.dataset[index]
        finally:
            torch.set_num_threads(threads)


def batch_keys(
    size: int, batch_size: int, seed: int, steps: range, part: slice = slice(None)
) -> Iterator[list[tuple[int, int]]]:
    """For each step its (index, seed) keys: consecutive pieces of one shuffle of the photos after another."""
    shuffles: dict[int, list[int]] = {}
    for step in steps:
        keys = []
        for place in range(step * batch_size, (step + 1) * batch_size):
            epoch, position = divmod(place, size)
            if epoch not in shuffles:
                generator = torch.Generator().manual_seed(step_seed(seed, epoch, -1))
                shuffles = {epoch: torch.randperm(size, generator=generator).tolist()}
            keys.append((shuffles[epoch][position], step_seed(seed, place, -2)))
        yield keys[part]


class Keys(Sampler):
    """The batches of keys of some steps, made one after the other: those of a long training would fill the memory."""

    def __init__(self, size: int, batch_size: int, seed: int, steps: range, part: slice):
        self.steps = steps
        self.batches = partial(batch_keys, size, batch_size, seed, steps, part)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self.batches()

    def __len__(self) -> int:
        return len(self.steps)


def make_loader(dataset, settings, seed: int, steps: range, accelerator) -> DataLoader:
    """Loads the batches of ``steps``; each process takes its share of every batch."""
    part = slice(accelerator.process_index, None, accelerator.num_processes)
    return DataLoader(
        Seeded(dataset),
        batch_sampler=Keys(len(dataset), settings.batch_size, seed, steps, part),
        num_workers=settings.workers,
        pin_memory=accelerator.device.type == "cuda",
        persistent_workers=False,
    )
