"""The pictures of a report: photos beside what each stage made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from wsss_lib.data import layout
from wsss_lib.data.layout import InputError
from wsss_lib.data.pages import as_jpeg, hex_of
from wsss_lib.data.photos import Photos
from wsss_lib.pipeline import plots
from wsss_lib.pipeline.kinds import MASKS, Kind
from wsss_lib.pipeline.pictures import choose
from wsss_lib.pipeline.report_stages import Made, listed, mapping, text
from wsss_lib.pipeline.runs import Run

TRAIN_EXAMPLES, VAL_EXAMPLES = 6, 4

Column = tuple[str, Path, Kind]  # what stands over it, where its files lie, and what they are


def examples(run: Run, made: Sequence[Made]) -> tuple[list[dict], str]:
    """Rows of pictures: training photos through all stages, and val photos with their predictions.

    Args:
        run: of which they are.
        made: its stages, finished or not.

    Returns:
        The parts of the page, and why one is not there.
    """
    texts = {
        "maps": (
            "Training photos, from map to mask",
            "Only the tags of these photos were used; the truth is shown to compare. Light: unsure, or not annotated.",
            TRAIN_EXAMPLES,
        ),
        "val": ("Photos that the network has never seen", "", VAL_EXAMPLES),
    }
    parts, problems = [], []
    for split, (title, meaning, count) in texts.items():
        try:
            photos = run_photos(run, split)
            heads, rows = example_rows(photos, list(columns(run, made, split)), count)
        except InputError as error:
            problems.append(str(error))
        else:
            if rows:
                parts.append({"title": title, "meaning": meaning, "heads": heads, "rows": rows})
    return parts, " ".join(dict.fromkeys(problems))


def run_photos(run: Run, split: str) -> Photos:
    """The photos of a run: where its recipe says, seen from here or from where it was started.

    Raises:
        InputError: they are not there any more.
    """
    data, first = mapping(mapping(run.recipe).get("data")), mapping(run.provenance)
    root, name = Path(text(data.get("root"))), text(data.get(split)) or text(data.get("train"))
    # the recipe is that of the last start
    starts = [first, *map(mapping, listed(first.get("continued")))]
    roots = [root, *(Path(text(start.get("folder"))) / root for start in reversed(starts))]
    photos = Photos(next((each for each in roots if each.is_dir()), root), name)
    return photos.tagged() if split == "maps" else photos


def columns(run: Run, made: Sequence[Made], split: str) -> Iterator[Column]:
    """What the stages of a run have made of the photos of a list, as far as it can be drawn."""
    for stage in made:
        kinds = [kind for kind in stage.kinds if kind.split == split and kind.picture]
        for kind in kinds:
            head = stage.title if len(kinds) == 1 else f"{stage.title}: {kind.folder}"
            yield head, run.folder / kind.folder / stage.name, kind


def example_rows(
    photos: Photos, made: Sequence[Column], count: int
) -> tuple[list[str], list[dict]]:
    """Rows of example pictures, and the heads of the columns in which there is one."""
    colours = plots.palette(len(photos.names))
    columns = [*made, ("truth", photos.root / layout.MASKS, MASKS)]
    rows = []
    for index in choose(photos, [folder for _, folder, _ in made], count):
        image, id = photos.image(index), photos.ids[index]
        tags = (photos.tags_NK[index].nonzero().flatten() + 1).tolist()
        pictures = [plots.picture(image)]
        for _, folder, kind in columns:
            pictures.append(kind.picture(folder / f"{id}{kind.ending}", image, colours))
        named = [{"colour": hex_of(colours[k % 256]), "name": photos.names[k]} for k in tags]
        rows.append({"id": id, "tags": named, "pictures": [as_jpeg(each) for each in pictures]})
    heads = ["photo", *(head for head, *_ in columns)]
    full = [i for i in range(len(heads)) if any(row["pictures"][i] for row in rows)]
    for row in rows:
        row["pictures"] = [row["pictures"][i] for i in full]
    return [heads[i] for i in full], rows
