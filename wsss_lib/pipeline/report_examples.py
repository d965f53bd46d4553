"""The pictures of a report: photos beside what each stage made of them."""

from __future__ import annotations

from pathlib import Path

from wsss_lib.data import layout
from wsss_lib.data.layout import InputError
from wsss_lib.data.photos import Photos
from wsss_lib.pipeline import plots
from wsss_lib.pipeline.kinds import KINDS, MASKS, Kind
from wsss_lib.pipeline.pictures import as_jpeg, choose, hex_of
from wsss_lib.pipeline.runs import Run

TRAIN_EXAMPLES, VAL_EXAMPLES = 6, 4


def examples(run: Run) -> tuple[list[dict], str]:
    """Rows of pictures: training photos through all stages, and val photos with their predictions.

    Returns:
        The parts of the page, and why there are none.
    """
    texts = {
        "maps": (
            "Training photos, from map to mask",
            "Only the tags of these photos were used; the truth is shown to compare. Light: unsure, or not annotated.",
            TRAIN_EXAMPLES,
        ),
        "val": ("Photos that the network has never seen", "", VAL_EXAMPLES),
    }
    parts = []
    try:
        for split, (title, meaning, count) in texts.items():
            photos = run_photos(run, split)
            heads, rows = example_rows(photos, columns(run, split), count)
            if len(heads) > 1:
                parts.append({"title": title, "meaning": meaning, "heads": heads, "rows": rows})
    except InputError as error:
        return parts, str(error)
    return parts, ""


def run_photos(run: Run, split: str) -> Photos:
    """The photos of a run: where its recipe says, seen from here or from where it was started.

    Raises:
        InputError: they are not there any more.
    """
    data = run.recipe.get("data", {})
    root, name = Path(data.get("root", "")), data.get(split) or data.get("train", "train")
    if not root.is_dir():
        root = Path(run.provenance.get("folder", "")) / root
    photos = Photos(root, name)
    return photos.tagged() if split == "maps" else photos


def columns(run: Run, split: str) -> dict[str, tuple[Path, Kind]]:
    """By title what the stages of a run have made of the photos of a list: the folder, and the kind of its files."""
    found = {}
    for name in run.metrics():
        shown = run.mark(name)["shown"] or {}
        for kind in (KINDS[each] for each in shown.get("kinds", []) if each in KINDS):
            if kind.split == split and kind.picture:
                found[shown["title"]] = (run.folder / kind.folder / name, kind)
    return found


def example_rows(photos: Photos, made: dict, count: int) -> tuple[list[str], list[dict]]:
    """Rows of example pictures, and the heads of the columns in which there is one."""
    colours = plots.palette(len(photos.names))
    columns = {**made, "truth": (photos.root / layout.MASKS, MASKS)}
    rows = []
    for index in choose(photos, [folder for folder, _ in made.values()], count):
        image, id = photos.image(index), photos.ids[index]
        tags = (photos.tags_NK[index].nonzero().flatten() + 1).tolist()
        pictures = {"photo": as_jpeg(plots.picture(image))}
        for head, (folder, kind) in columns.items():
            pictures[head] = as_jpeg(kind.picture(folder / f"{id}{kind.ending}", image, colours))
        named = [{"colour": hex_of(colours[k % 256]), "name": photos.names[k]} for k in tags]
        rows.append({"id": id, "tags": named, "pictures": pictures})
    heads = [head for head in ("photo", *columns) if any(row["pictures"][head] for row in rows)]
    return heads, rows
