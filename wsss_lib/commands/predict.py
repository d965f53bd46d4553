"""``wsss predict RUN PHOTOS... --to DIR``: masks of any photos, by a network of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro

from wsss_lib.commands.options import parsed
from wsss_lib.data.layout import InputError
from wsss_lib.data.limits import refuse_outside
from wsss_lib.data.photo_files import find_photos, names_of, refuse_inside
from wsss_lib.data.told_tags import read_tags

if TYPE_CHECKING:
    from wsss_lib.pipeline.trained import Trained

ABOUT = """Make masks of any photos with the segmentation network of a run; nothing is trained again.

  wsss predict runs/toy holiday/ cat.jpg --to masks
  wsss predict runs/toy holiday/ --to masks --overlays          the masks laid over the photos, to look at
  wsss predict runs/toy holiday/ --to masks --probabilities     and what the network says of every class
  wsss predict runs/toy holiday/ --to others --network supervised
  wsss predict runs/toy holiday/ --to told --network amn --tags "boat;train"    AMN is told the tags of a photo

DIR/NAME.png is a palette PNG at the size of the photo: 0 background, 1 the first class of the run and so on.
The dataset of the run need not be there any more. Stopped and started again, the command goes on where it
was. `wsss export DIR --as labelstudio --to TASKS` brings the masks to other tools."""


@dataclass(frozen=True, kw_only=True)
class Predicting:
    """Which photos, by which network, and what is written."""

    run: tyro.conf.Positional[Path]
    """The folder of a run."""
    photos: tyro.conf.Positional[tuple[Path, ...]]
    """Photos, and folders of photos with all folders in them."""
    to: Path
    """The folder of the masks."""
    network: str | None = None
    """The stage whose network it is; else the segmentation network."""
    tags: str | None = None
    """For AMN: a table with a line `file,tag;tag` for each photo, or the tags of all photos, `tag;tag`."""
    refine: bool = False
    """Refine the masks by the CRF, though the recipe does not in its test."""
    no_refine: bool = False
    """Do not, though the recipe does."""
    max_side: int = 1000
    """Photos with a longer side are made smaller, to so many pixels, before the network looks at them, as `wsss prepare` does;
    0: none is. The masks come back at the size of the photos."""
    batch_pixels: int | None = None
    """Pixels that are looked at together, if not as many as in the run. Lower it if the memory does not do."""
    overlays: bool = False
    """Also write DIR/overlays/NAME.jpg: the mask over the photo, and the classes that were found."""
    probabilities: bool = False
    """Also write DIR/probabilities/NAME.npz: what the network says of every class, before the CRF, in float16, at the size that
    it has looked at, and the class names."""
    again: bool = False
    """Write anew what is there."""
    quiet: bool = False
    """No progress bar."""

    def __post_init__(self) -> None:
        refuse_outside(self, "max_side", least=0, whole=True)
        refuse_outside(self, "batch_pixels", least=1, whole=True)
        if self.refine and self.no_refine:
            raise ValueError("give --refine or --no-refine, not both")


def predict(arguments: list[str]) -> None:
    """``wsss predict``."""
    asked = parsed(Predicting, arguments, "predict", description=ABOUT)
    if not asked.photos:
        raise InputError("give photos, or folders of photos: wsss predict RUN PHOTOS --to DIR")
    photos, others = find_photos(asked.photos)
    refuse_inside(asked.to, asked.photos)
    names = names_of(photos)
    from wsss_lib.pipeline import predicted, prediction
    from wsss_lib.pipeline.runs import full_disk_is_said
    from wsss_lib.recipes import network_of

    network = network_of(asked.run, asked.network, progress=not asked.quiet)
    tags_NK = told(asked, network, photos)
    refined = (network.settings.refine or asked.refine) and not asked.no_refine
    masks = predicted.Predicted(
        folder=asked.to,
        name=names,
        classes=network.names,
        overlays=asked.overlays,
        probabilities=asked.probabilities,
        again=asked.again,
    )
    if others:
        endings = ", ".join(sorted({file.suffix.lower() or file.name for file in others}))
        print(f"{len(others)} other files were passed over ({endings})")
    with full_disk_is_said(asked.to):
        masks.begin(network, tags_NK, refined=refined, max_side=asked.max_side)
        kept = sum(map(masks.made, photos))
        for seen in prediction.predict(
            network,
            photos,
            tags_NK=tags_NK,
            refined=refined,
            max_side=asked.max_side,
            batch_pixels=asked.batch_pixels,
            probabilities=asked.probabilities,
            made=masks.made,
        ):
            masks.write(seen)
    there = f", {kept} of them were there" if kept else ""
    print(f"{len(photos)} masks in {asked.to}{there}")


def told(asked: Predicting, network: Trained, photos: list[Path]) -> np.ndarray | None:
    """The tags of each photo, ``tags_NK``, if the network is told them."""
    name = network.work.name
    if network.settings.told and asked.tags is None:
        raise InputError(f"{name} is told the tags of each photo: give them with --tags")
    if asked.tags is not None and not network.settings.told:
        raise InputError(f"{name} is told no tags: leave out --tags")
    return None if asked.tags is None else read_tags(asked.tags, photos, network.names)
