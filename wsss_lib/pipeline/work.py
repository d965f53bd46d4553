"""What a stage works with: the recipe, the run's folder, photos, batches, and files that are whole or not there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2.functional import pil_to_tensor
from tqdm.auto import tqdm

from wsss_lib.data.augmentation import normalise, paired_augmentation
from wsss_lib.data.batches import same_size_batches
from wsss_lib.data.files import atomic
from wsss_lib.data.layout import PHOTOS, read_photo, write_mask
from wsss_lib.data.maps import save_map, whole_map
from wsss_lib.data.photos import MaskedPhotos, Photos
from wsss_lib.learning.storage import load_state, save_state
from wsss_lib.learning.training import Loss, fit
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.evaluation import with_truth
from wsss_lib.pipeline.kinds import MAPS, MASKS, Kind
from wsss_lib.pipeline.processes import map_processes
from wsss_lib.pipeline.recipe import Recipe
from wsss_lib.pipeline.runs import Run
from wsss_lib.pipeline.stage import NetworkStage, Stage


@dataclass(frozen=True)
class Batch:
    """Photos of one size, on the device.

    Attributes:
        ids: of the photos.
        image_BCHW: the photos, normalised.
        tag_BK: 1 for the classes that a photo has.
    """

    ids: list[str]
    image_BCHW: Tensor
    tag_BK: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return tuple(self.image_BCHW.shape[-2:])


@dataclass(frozen=True)
class Work:
    """A recipe, the folder of its run, whether to show progress bars, and the stage at work.

    Files are the memory of a run: what is there and whole is not made again, and what is missing
    is made in the batch it would have been made in at first, so that on a CPU even its rounding is
    the same. Each process makes its share.
    """

    recipe: Recipe
    run: Run
    progress: bool = True
    name: str = ""
    opened: dict = field(default_factory=dict, repr=False, compare=False)  # photos, read once

    def of(self, name: str) -> Work:
        """The same for another stage."""
        return replace(self, name=name)

    @property
    def stage(self) -> Stage:
        """The settings of the stage at work."""
        return self.recipe.stages[self.name]

    @property
    def device(self) -> torch.device:
        return ranks.device()

    def folder(self, kind: str) -> Path:
        """Where the files of a kind are that this stage makes."""
        return self.run.folder / kind / self.name

    # photos

    def photos(self, part: str) -> Photos:
        """The photos of the recipe's ``train``, ``maps`` or ``val`` list: tags, and no masks."""
        place = self.recipe.data.root, self.recipe.split(part)
        return self._once(place, lambda: Photos(*place, progress=self.progress))

    def tagged(self) -> Photos:
        """The photos that get maps: those of the ``maps`` list that have a tag."""
        place = self.recipe.data.root, self.recipe.split("maps"), "tagged"
        return self._once(place, lambda: self.photos("maps").tagged())

    def truth(self, part: str) -> MaskedPhotos | None:
        """The photos of ``maps`` (with a tag) or of ``val`` that have a true mask; None if none has."""
        place = self.recipe.data.root, self.recipe.split(part), part, "truth"
        photos = self.tagged() if part == "maps" else self.photos(part)
        return self._once(place, lambda: with_truth(photos))

    def _once(self, place: tuple, make: Callable[[], object]) -> object:
        if place not in self.opened:
            self.opened[place] = make()
        return self.opened[place]

    def images(self, photos: Photos, indices: Sequence[int]) -> Tensor:
        """Photos of one size, normalised, on the device: ``image_BCHW``."""
        batch = torch.stack([photos.image(i) for i in indices])
        return normalise(batch.to(self.device))

    # learning

    def train(
        self, model: nn.Module, loss: Loss, photos: Photos, stage: NetworkStage | None = None
    ) -> nn.Module:
        """Trains a network as the stage at work says, or loads it if it has been trained."""
        stage = stage or self.stage
        folder = self.folder("checkpoints")
        file = folder.with_name(f"{self.name}.safetensors")
        if not file.exists():
            model = fit(
                model,
                loss,
                photos.with_transform(paired_augmentation(stage.augmentation)),
                stage.training,
                seed=self.recipe.seed,
                folder=folder,
                title=self.name,
                progress=self.progress,
            )
            if ranks.is_main():
                save_state(file, model)
                (folder / "resume.pt").unlink(missing_ok=True)
            ranks.wait()
        load_state(file, model)
        return self.ready(model)

    def ready(self, model: nn.Module) -> nn.Module:
        """The network on the device, for looking at photos.

        In the layout that it was trained in: in another one its convolutions would round otherwise.
        """
        return model.to(self.device, memory_format=torch.channels_last).eval()

    def autocast(self, precision: str):
        """A context in which networks compute in bf16, if ``precision`` says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16")

    # files

    def bar(self, items: Iterable, title: str, total: int | None = None) -> Iterable:
        """Shows a progress bar while ``items`` are gone through; only the main process does."""
        shown = self.progress and ranks.is_main()
        return tqdm(items, desc=title, total=total, disable=not shown)

    def unmade(self, kind: Kind, photos: Photos) -> list[str]:
        """The ids of this process' share of the photos whose file is not there, or damaged."""
        folder = self.folder(kind.folder)
        return [
            id for id in ranks.share(photos.ids) if not kind.whole(folder / f"{id}{kind.ending}")
        ]

    def batches(
        self,
        photos: Photos,
        makes: Sequence[Kind] = (),
        *,
        pixels: int,
        **counted: object,
    ) -> Iterator[Batch]:
        """Goes through photos in batches of one size, the largest first, and reads ahead.

        Args:
            photos: any.
            makes: a batch is left out if the files of these kinds are there for each of its photos.
            pixels: that a batch has at most.
            counted: how they are counted, see `wsss_lib.data.batches.same_size_batches`.
        """
        batches = ranks.share(same_size_batches(photos.sizes, pixels, **counted))
        left = [batch for batch in batches if not makes or not self._made(photos, batch, makes)]
        loader = DataLoader(
            Pixels(photos),
            batch_sampler=left,
            num_workers=self.recipe.data.workers,
            pin_memory=self.device.type == "cuda",
        )
        for indices, image_BCHW in zip(left, self.bar(loader, self.name, len(left))):
            image_BCHW = normalise(image_BCHW.to(self.device, non_blocking=True))
            tag_BK = photos.tags_NK[indices].to(image_BCHW)
            yield Batch([photos.ids[i] for i in indices], image_BCHW, tag_BK)

    def _made(self, photos: Photos, indices: Sequence[int], kinds: Sequence[Kind]) -> bool:
        return all(
            kind.whole(self.folder(kind.folder) / f"{photos.ids[i]}{kind.ending}")
            for kind in kinds
            for i in indices
        )

    def save_maps(self, batch: Batch, map_Phw: Tensor) -> None:
        """Writes the maps of a batch, one for each pair, in the order of ``tag_BK.nonzero()``."""
        map_Phw = map_Phw.float().cpu()
        photo_P, class_P = batch.tag_BK.cpu().nonzero(as_tuple=True)
        for b, id in enumerate(batch.ids):
            own = photo_P == b
            self.save_map(id, class_P[own], map_Phw[own], batch.size)

    def save_map(self, id: str, classes_k: Tensor, map_khw: Tensor, size: Sequence[int]) -> None:
        """Writes the maps of a photo; see `wsss_lib.data.maps.save_map`."""
        save_map(self.folder(MAPS.folder) / f"{id}{MAPS.ending}", classes_k, map_khw, size)

    def save_label(self, kind: Kind, id: str, label_HW: Tensor) -> None:
        """Writes a label for each pixel or cell of a photo."""
        write_label(self.folder(kind.folder) / f"{id}{kind.ending}", label_HW)

    def write_masks(self, source: str, method: Callable) -> None:
        """Makes a mask of the maps of each tagged photo, in several processes.

        Args:
            source: the stage whose maps are read.
            method: makes ``label_HW`` of ``image_HW3``, ``map_kHW`` and ``classes_k``.
        """
        missing = self.unmade(MASKS, self.tagged())
        photos = Path(self.recipe.data.root) / PHOTOS
        maps = self.run.folder / MAPS.folder / source
        masks, classes = self.folder(MASKS.folder), self.tagged().num_classes
        job = functools.partial(mask_of_map, photos, maps, masks, method, classes)
        made = map_processes(job, ((id,) for id in missing))
        for _ in self.bar(made, f"{self.name} from {source}", total=len(missing)):
            pass


class Pixels(Dataset):
    """The photos as they are, uint8 ``(3, H, W)``: what loader processes hand over."""

    def __init__(self, photos: Photos) -> None:
        self.photos = photos

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Tensor:
        return self.photos.image(index)


def mask_of_map(
    photos: Path, maps: Path, masks: Path, method: Callable, classes: int, id: str
) -> None:
    """Reads a photo and its maps, and writes what ``method`` makes of them: the job of a process."""
    image_HW3 = pil_to_tensor(read_photo(photos / f"{id}.jpg")).permute(1, 2, 0).contiguous()
    map_kHW, classes_k = whole_map(maps, id, image_HW3.shape[:2], classes)
    write_label(masks / f"{id}{MASKS.ending}", method(image_HW3, map_kHW, classes_k))


def write_label(file: Path, label_HW: Tensor) -> None:
    """Writes labels as a palette PNG that is whole or not there."""
    with atomic(file) as aside:
        write_mask(aside, label_HW.cpu())
