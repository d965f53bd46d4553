"""The pictures of a report: photos beside what each stage made of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn import functional

from wsss_lib.data.layout import MASKS, InputError
from wsss_lib.data.maps import CorruptMap, load_map
from wsss_lib.data.photos import Photos, read_mask
from wsss_lib.pipeline import plots
from wsss_lib.pipeline.runs import Run

TRAIN_EXAMPLES, VAL_EXAMPLES = 6, 4
LONGEST_SIDE = 320  # pixels of a picture in the page

Pictures = dict[str, np.ndarray | None]


def examples(run: Run) -> Iterator[str]:
    """Rows of pictures: training photos through all stages, and val photos with their predictions."""
    data = run.recipe.get("data", {})

    def train_row(photos: Photos, index: int, colours: np.ndarray) -> Pictures:
        return train_pictures(run, photos, index, colours)

    def val_row(photos: Photos, index: int, colours: np.ndarray) -> Pictures:
        return val_pictures(run, photos, index, colours)

    train_folders = [*map(run.maps, plots.METHODS), run.seeds, run.pseudo_masks(source_of(run))]
    try:
        yield example_section(
            Photos(data.get("root", ""), data.get("train", "train")).tagged(),
            train_folders,
            train_row,
            TRAIN_EXAMPLES,
            "Training photos, from map to mask",
            "Only the tags of these photos were used; the truth is shown to compare. Light: unsure, or not annotated.",
        )
        yield example_section(
            Photos(data.get("root", ""), data.get("val", "val")),
            [run.predictions / "segmenter"],
            val_row,
            VAL_EXAMPLES,
            "Photos that the network has never seen",
            "",
        )
    except InputError as error:
        yield f'<section><h2>No pictures</h2><p class="soft">{escape(str(error))}</p></section>'


def source_of(run: Run) -> str:
    """The maps behind the pseudo-masks that the segmentation network learned from."""
    return run.recipe.get("segmenter", {}).get("source") or "amn"


def train_pictures(run: Run, photos: Photos, index: int, colours: np.ndarray) -> Pictures:
    """A training photo at every stage, by name; None where a stage has made nothing."""
    image, id = photos.image(index), photos.ids[index]
    row = {"photo": plots.picture(image)}
    row |= {
        plots.METHODS[name][0]: map_picture(run.maps(name) / f"{id}.npz", image, colours)
        for name in ("cam", "advcam")
    }
    row["seed"] = mask_picture(run.seeds / f"{id}.png", image, colours)
    row["AMN"] = map_picture(run.maps("amn") / f"{id}.npz", image, colours)
    mask = run.pseudo_masks(source_of(run)) / f"{id}.png"
    row["pseudo-mask"] = mask_picture(mask, image, colours)
    return row | {"truth": mask_picture(photos.root / MASKS / f"{id}.png", image, colours)}


def val_pictures(run: Run, photos: Photos, index: int, colours: np.ndarray) -> Pictures:
    """A val photo, its predictions and the truth, by name."""
    image, id = photos.image(index), photos.ids[index]
    names = {
        "prediction": run.predictions / "segmenter",
        "from true masks": run.predictions / "supervised",
        "truth": photos.root / MASKS,
    }
    masks = {
        name: mask_picture(folder / f"{id}.png", image, colours) for name, folder in names.items()
    }
    return {"photo": plots.picture(image)} | masks


def example_section(
    photos: Photos,
    folders: list[Path],
    make_row: Callable[[Photos, int, np.ndarray], Pictures],
    count: int,
    title: str,
    meaning: str,
) -> str:
    """One section of example rows; a column without any picture is left out."""
    colours = plots.palette(len(photos.names))
    chosen = choose(photos, folders, count)
    rows = [make_row(photos, index, colours) for index in chosen]
    heads = [head for head in rows[0] if any(row[head] is not None for row in rows)] if rows else []
    if len(heads) < 2:
        return ""
    body = ""
    for index, row in zip(chosen, rows, strict=True):
        tags = [label for label, tag in enumerate(photos.tags_NK[index].tolist(), start=1) if tag]
        named = "".join(
            f"<span>{dot(colours[label])}{escape(photos.names[label])}</span>" for label in tags
        )
        figures = "".join(figure(row[head], head, photos.ids[index]) for head in heads)
        body += f'<h3>{named}<small>{escape(photos.ids[index])}</small></h3>\n<div class="row">{figures}</div>\n'
    titles = "".join(f"<span>{head}</span>" for head in heads)
    return (
        f'<section style="--columns:{len(heads)}"><h2>{title}</h2><p class="soft">{meaning}</p>'
        f'<div class="row heads">{titles}</div>\n{body}</section>'
    )


def choose(photos: Photos, folders: list[Path], count: int) -> list[int]:
    """Photos that show every class soon: each next one is the first with the most classes not yet shown."""
    made = {file.stem for folder in folders if folder.is_dir() for file in folder.iterdir()}
    left = [index for index, id in enumerate(photos.ids) if id in made]
    chosen, shown = [], np.zeros(photos.num_classes, dtype=bool)
    while left and len(chosen) < count:
        gains = [int((photos.tags_NK[index].numpy() & ~shown).sum()) for index in left]
        if max(gains) == 0 and shown.any():
            shown[:] = False
            continue
        chosen.append(left.pop(int(np.argmax(gains))))
        shown |= photos.tags_NK[chosen[-1]].numpy()
    return sorted(chosen)


def map_picture(file: Path, image: Tensor, colours: np.ndarray) -> np.ndarray | None:
    """The maps of a photo over it, or None if there are none that can be read."""
    try:
        classes_k, map_khw, size = load_map(file)
    except (FileNotFoundError, CorruptMap):
        return None
    if len(classes_k):
        map_khw = functional.interpolate(map_khw[None], size, mode="bilinear", align_corners=False)[
            0
        ]
    return plots.overlay_map(image, map_khw, classes_k, colours)


def mask_picture(file: Path, image: Tensor, colours: np.ndarray) -> np.ndarray | None:
    """A mask over its photo, or None if there is none that can be read."""
    try:
        return plots.overlay(image, read_mask(file, size=tuple(image.shape[-2:])), colours)
    except InputError:
        return None


def figure(picture: np.ndarray | None, head: str, id: str) -> str:
    """A picture of an example, with its caption (shown where the columns have no heads)."""
    if picture is None:
        return "<figure></figure>"
    image, file = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    image.save(file, "JPEG", quality=85, subsampling=0)
    source = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    size = f'width="{image.width}" height="{image.height}"'
    return f'<figure><img src="{source}" {size} alt="{head} of {escape(id)}"><figcaption>{head}</figcaption></figure>'


def dot(colour: np.ndarray) -> str:
    """A dot in the colour of a class."""
    return f'<i class="dot" style="background:#{bytes(colour.tolist()).hex()}"></i>'
