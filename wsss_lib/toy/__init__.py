"""The embedded dataset: photos of eight drawn classes with tags, boxes and masks, made in seconds.

It is built so that what the papers report on photographs can be measured on a laptop:

- A class is recognised by a small discriminative part, its *head*, painted in a class-specific pattern. The body is
  only weakly informative (a hue, shared by two confusable classes; a faint wash of the head's pattern). A classifier
  therefore looks at the head, and its activation map covers only a part of the object.
- The head's pattern is hidden on every fifth object, and the strength of the evidence varies: the threshold that suits
  one photo does not suit the next.
- Boats come with water and trains with rails: scenery that a classifier cannot tell from the object.

Everything follows from (seed, split, index) through `numpy.random.default_rng`; one seed gives identical bytes.
"""

import json
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from wsss_lib.data import annotations, layout
from wsss_lib.data.files import atomic_folder
from wsss_lib.data.layout import VOID, InputError
from wsss_lib.toy.scene import NAMES, SPLITS, STANDARD_SIZE, Scene, draw

__all__ = ["NAMES", "SPLITS", "STANDARD_SIZE", "VOID", "Scene", "draw", "redraw", "write"]

DRAWING_VERSION = 1  # raise it whenever a picture changes
OPTIONS = "toy.json"


def redraw(root: str | Path, id: str) -> Scene:
    """Draw the photo `id` of a dataset in `root` once more, for what the layout does not keep (parts, scenery).

    Raises:
        InputError: `root` holds no drawn dataset, or one of another version.
    """
    options = _read_options(Path(root))
    if options is None or options["drawing_version"] != DRAWING_VERSION:
        raise InputError(
            f"{root} was not drawn by this version of wsss_lib; draw it with data_scripts/make_toy.py."
        )
    split, _, index = id.rpartition("_")
    return draw(
        options["seed"], split, int(index), size=options["size"], classes=options["classes"]
    )


def write(
    root: str | Path,
    *,
    seed: int = 0,
    train: int = 600,
    val: int = 300,
    test: int = 100,
    size: int = STANDARD_SIZE,
    classes: int = 8,
    progress: bool = True,
) -> bool:
    """Draw a dataset into the folder `root`, in the one layout, all or nothing; identical bytes for one seed.

    Args:
        root: a folder that does not exist or is empty, or that holds the very same dataset.
        seed: of the dataset.
        train, val, test: number of photos in each split.
        size: side of the photos in pixels, 32 to 256.
        classes: number of classes, 2 to 8.
        progress: whether to show a progress bar.

    Returns:
        Whether anything was drawn; False if the dataset was already there.

    Raises:
        InputError: `root` holds something else, or an option is out of range.
    """
    root = Path(root)
    options = dict(
        drawing_version=DRAWING_VERSION,
        seed=seed,
        train=train,
        val=val,
        test=test,
        size=size,
        classes=classes,
    )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        refuse_another(root, options)
        return False
    if seed < 0:
        raise InputError(f"cannot draw with the seed {seed}; give 0 or more.")
    if min(train, val, test) < 0 or train == 0:
        raise InputError(
            f"cannot draw {train} train, {val} val and {test} test photos; ask for at least one to train on."
        )
    try:
        with atomic_folder(root) as aside:
            _write_files(aside, options, progress)
    except FileExistsError:  # somebody else was faster
        refuse_another(root, options)
        return False
    return True


def refuse_another(root: Path, options: dict) -> None:
    """Raise an InputError if ``root`` holds anything but the dataset of these options."""
    if _read_options(root) != options:
        raise InputError(
            f"{root} already holds something else than this dataset; delete it or name another folder."
        )


def _read_options(root: Path) -> dict | None:
    """The options that a dataset was drawn with, None if there is no drawn dataset."""
    try:
        return json.loads((root / OPTIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_files(root: Path, options: dict, progress: bool) -> None:
    """All files of a dataset."""
    for folder in (layout.PHOTOS, layout.MASKS, layout.ANNOTATIONS):
        (root / folder).mkdir(parents=True)
    bar = tqdm(
        total=sum(options[split] for split in SPLITS),
        desc="drawing",
        unit="photo",
        disable=not progress,
    )
    for split in SPLITS:
        ids = [f"{split}_{index:04d}" for index in range(options[split])]
        for index, id in enumerate(ids):
            scene = draw(
                options["seed"], split, index, size=options["size"], classes=options["classes"]
            )
            photo = root / layout.PHOTOS / f"{id}.jpg"
            Image.fromarray(scene.image).save(photo, quality=95, subsampling=0)  # 4:4:4
            layout.write_mask(root / layout.MASKS / f"{id}.png", scene.mask)
            annotation = root / layout.ANNOTATIONS / f"{id}.xml"
            annotations.write_annotation(
                annotation, id=id, size_HW=scene.mask.shape, objects=scene.boxes
            )
            bar.update()
        layout.write_lines(root / layout.SPLITS / f"{split}.txt", ids)
    bar.close()
    layout.write_lines(root / layout.LABELS, NAMES[: options["classes"] + 1])
    (root / OPTIONS).write_text(json.dumps(options, indent=1) + "\n")
