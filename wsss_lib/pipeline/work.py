"""What every stage of a run works with: recipe, folder, photos, and batches that can be resumed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState
from torch import Tensor, nn
from tqdm.auto import tqdm

from wsss_lib.data.augmentation import normalise, paired_augmentation
from wsss_lib.data.files import atomic
from wsss_lib.data.layout import InputError, write_mask
from wsss_lib.data.maps import is_map, save_map, whole_map
from wsss_lib.data.photos import Photos, read_mask
from wsss_lib.learning.storage import load_state, save_state
from wsss_lib.learning.training import Loss, fit
from wsss_lib.pipeline.processes import map_processes
from wsss_lib.pipeline.runs import Run
from wsss_lib.pipeline.settings import AmnStage, ClassifierStage, Recipe, SegmenterStage

Maps = Callable[[Tensor, Tensor, list[int]], Tensor]  # image_BCHW, tag_BK, indices -> map_Phw


@dataclass(frozen=True)
class Work:
    """A recipe, the folder of its run, and whether to show progress bars.

    Files are the memory of a run: what is there and whole is not made again, and what is missing
    is made in the batch it would have been made in at first, so that even its rounding is the same.
    """

    recipe: Recipe
    run: Run
    progress: bool = True

    @property
    def device(self) -> torch.device:
        return PartialState().device

    def photos(self, split: str) -> Photos:
        """The photos of the recipe's ``train`` or ``val`` split: tags, and no masks."""
        return Photos(self.recipe.data.root, getattr(self.recipe.data, split))

    def bar(self, items: Iterable, title: str, total: int | None = None) -> Iterable:
        """Shows a progress bar while ``items`` are gone through; only the main process does."""
        shown = self.progress and PartialState().is_main_process
        return tqdm(items, desc=title, total=total, disable=not shown)

    def train(
        self,
        name: str,
        model: nn.Module,
        loss: Loss,
        photos: Photos,
        stage: ClassifierStage | AmnStage | SegmenterStage,
    ) -> nn.Module:
        """Trains a network, or loads it if it has been trained."""
        file = self.run.checkpoints / f"{name}.safetensors"
        if not file.exists():
            photos = photos.subset(range(len(photos)))
            photos.transform = paired_augmentation(stage.augmentation)
            folder = self.run.checkpoints / name
            model = fit(
                model,
                loss,
                photos,
                stage.training,
                seed=self.recipe.seed,
                folder=folder,
                title=name,
                progress=self.progress,
            )
            if PartialState().is_main_process:
                save_state(file, model)
                (folder / "resume.pt").unlink(missing_ok=True)
            PartialState().wait_for_everyone()
        load_state(file, model)
        return model.to(self.device).eval()

    def images(self, photos: Photos, indices: list[int]) -> Tensor:
        """Photos of one size, normalised, on the device: ``image_BCHW``."""
        batch = torch.stack([photos.image(i) for i in indices])
        return normalise(batch.to(self.device))

    def write_maps(
        self, source: str, photos: Photos, batches: list[list[int]], method: Maps
    ) -> None:
        """Writes the map file of each photo that has none."""
        folder = self.run.maps(source)
        for indices in self.bar(share(batches), f"{source} maps"):
            files = [folder / f"{photos.ids[i]}.npz" for i in indices]
            if all(is_map(file) for file in files):
                continue
            image_BCHW = self.images(photos, indices)
            tag_BK = photos.tags_NK[indices].to(image_BCHW)
            map_Phw = method(image_BCHW, tag_BK, indices).cpu()
            photo_P, class_P = tag_BK.cpu().nonzero(as_tuple=True)
            for b, file in enumerate(files):
                own = photo_P == b
                save_map(file, class_P[own], map_Phw[own], image_BCHW.shape[-2:])
        PartialState().wait_for_everyone()

    def write_masks(
        self, title: str, photos: Photos, source: str, folder: Path, method: Callable
    ) -> None:
        """Writes the mask of each photo that has none.

        Args:
            title: stands before the progress bar.
            photos: the photos.
            source: the maps to read.
            folder: where masks go.
            method: makes ``label_HW`` of ``image_HW3``, ``map_kHW`` and ``classes_k``.
        """
        maps, own = self.run.maps(source), share(range(len(photos)))
        missing = [i for i in own if not is_mask(folder / f"{photos.ids[i]}.png")]
        jobs = (
            (photos.image(i).permute(1, 2, 0).contiguous(), *whole_map(maps, photos.ids[i]))
            for i in missing
        )
        masks = map_processes(method, jobs)
        for i, mask_HW in zip(missing, self.bar(masks, title, total=len(missing)), strict=True):
            with atomic(folder / f"{photos.ids[i]}.png") as aside:
                write_mask(aside, mask_HW)
        PartialState().wait_for_everyone()


def share(items: Sequence) -> Sequence:
    """The items that this process takes care of."""
    state = PartialState()
    return items[state.process_index :: state.num_processes]


def is_mask(file: Path) -> bool:
    """Whether a mask is there and whole."""
    try:
        read_mask(file)
    except InputError:
        return False
    return True
