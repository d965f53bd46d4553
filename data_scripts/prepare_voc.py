"""Bring PASCAL VOC 2012 into the one layout, and check it.

    python data_scripts/prepare_voc.py data/voc12 --tar VOCtrainval_11-May-2012.tar
    python data_scripts/prepare_voc.py VOCdevkit/VOC2012
    python data_scripts/prepare_voc.py data/voc12 --aug SegmentationClassAug

The first form unpacks the official archive (2 GB; http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ or a mirror of it)
after comparing its checksum. The second takes a folder that is unpacked already, and adds labels.txt to it. The third
adds the split train_aug, on which the papers train: give it the folder of masks that were made from the Semantic
Boundaries Dataset (Hariharan et al., ICCV 2011), usually called SegmentationClassAug, or a list of ids. Photos of val
stay out of it. `wsss prepare` does the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from wsss_lib.data.sources import voc2012
from wsss_lib.exits import in_one_sentence


@dataclass(frozen=True, kw_only=True)
class Voc:
    """What to prepare."""

    root: tyro.conf.Positional[Path]
    """The unpacked VOC2012; with --tar, the new folder to unpack into."""
    tar: Path | None = None
    """VOCtrainval_11-May-2012.tar."""
    aug: Path | None = None
    """Masks of more training photos (SegmentationClassAug), or a list of ids: makes the split train_aug."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says, or say in one sentence why not."""
    with in_one_sentence("prepare_voc"):
        options = tyro.cli(Voc, args=arguments, description=__doc__)
        voc2012.prepare(options.tar or options.root, options.root, options.aug)


if __name__ == "__main__":
    main()
