"""``wsss prepare SOURCE DATA``: brings what people have into the one layout."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from wsss_lib.commands.options import parsed
from wsss_lib.data.layout import InputError

ABOUT = """Bring tagged photos into the layout that every command reads.

  wsss prepare my-photos data/mine --look      what lies there, and what it would be taken for
  wsss prepare my-photos data/mine             writes data/mine, or says what must be decided first
  wsss run photos --data.root data/mine

What may lie there: a folder for each tag (a folder named background holds photos without one); a table of
tags (CSV, TSV: one or several tags a photo, or a column for each); VOC XML of any classes; COCO json;
PASCAL VOC 2012 itself, as its archive or unpacked. What can be read in two ways is asked about."""

Kind = Literal["folders", "table", "voc", "coco", "voc2012"]


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """What lies there, and how it is to be written."""

    source: tyro.conf.Positional[Path]
    """Your photos: a folder, a table, a json, or VOC's archive."""
    data: tyro.conf.Positional[Path]
    """The new folder to write."""
    look: bool = False
    """Only look and say what would be written."""
    as_: Annotated[Kind | None, tyro.conf.arg(name="as")] = None
    """What it is, if it is taken for something else."""
    table: Path | None = None
    """The table of tags, if there are several."""
    encoding: str | None = None
    """Of the table, if it is not UTF-8 or UTF-16: cp1252, for example."""
    separator: str | None = None
    """What stands between the tags of one cell of the table."""
    val: float | None = None
    """Part of the photos that is held out to measure on, 0 to 0.9. As the source says, else a fifth."""
    seed: int = 0
    """Which photos these are."""
    max_side: int = 1000
    """The longer side of a photo at most, in pixels; 0: as they are. VOC 2012 stays as it is."""
    skip_broken: bool = False
    """Leave out photos that cannot be read, or are named and not there, and name them."""
    masks: Path | None = None
    """A folder of true masks of some photos, to measure with; found by their names; ``none``: none, whatever lies there."""
    mask_values: str | None = None
    """What masks say: ``indices``, ``voc-colours``, ``foreground`` (all that is not black is the one tag of the photo), or the
    file of a table with lines such as ``255,0,0,cat``. Asked for where it is not plain."""
    names: tuple[str, ...] = ()
    """The classes in the order of the numbers in masks, if it is not that of the source or the alphabet."""
    aug: Path | None = None
    """For VOC 2012: a folder of masks of more training photos (SegmentationClassAug), or a list of their ids: makes the list
    train_aug, on which the papers train."""


def prepare(arguments: list[str]) -> None:
    """``wsss prepare``."""
    options = parsed(Preparing, arguments, "prepare", description=ABOUT)
    from wsss_lib.data.sources import voc2012

    if voc2012.meant(options.source, options.as_):
        if options.look:
            print("taken for PASCAL VOC 2012; nothing was written: leave out --look")
        else:
            voc2012.prepare(options.source, options.data, options.aug)
        return
    if options.aug:
        raise InputError("--aug is for VOC 2012 only; say --as voc2012 if that is what lies there.")
    from wsss_lib.data.sources import look
    from wsss_lib.data.sources.collection import Asked
    from wsss_lib.data.sources.dataset import Wanted
    from wsss_lib.data.sources.prepare import prepare as bring

    asked = Asked(
        kind=options.as_,
        table=options.table,
        encoding=options.encoding,
        separator=options.separator,
        skip_missing=options.skip_broken,
    )
    values = {each.name: getattr(options, each.name) for each in fields(Wanted)}
    try:
        wanted = Wanted(**values)
    except ValueError as error:
        raise InputError(str(error)) from error
    dataset = bring(options.source, None if options.look else options.data, asked, wanted)
    for line in look.lines(dataset):
        print(line)
    if options.look:
        print("nothing was written: leave out --look")
    else:
        print(f"{options.data} is ready; what was found: {options.data / 'report.html'}")
