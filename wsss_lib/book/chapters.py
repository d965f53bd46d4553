"""What the chapters of the book share: the run that they go on with, progress bars, and figures.

Every chapter runs alone in a fresh kernel. `prepare` hands it what earlier chapters have made: from
``runs/book`` if it is there, and else it is made there once, with a progress bar.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from filelock import FileLock
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from wsss_lib.pipeline.make import make_stages
from wsss_lib.pipeline.plots import CARD
from wsss_lib.pipeline.work import Work
from wsss_lib.recipes import Segmentation, toy

# Title, colour and kind of line of the methods that make maps.
METHODS = {
    name: (stage.title, *stage.line)
    for name, stage in toy().stages.items()
    if stage.line is not None
}
LINES = {title: tuple(look) for title, *look in METHODS.values()}
DATA_SEED = 7  # nothing was tuned on the photos of this seed
DOTS_PER_INCH = 110
# An environment variable: no progress bars, so that a page is the same every time.
QUIET = "WSSS_QUIET"


def home() -> Path:
    """The folder with ``data`` and ``runs``: that of the book's repository, or else the current one."""
    return Path("..") if Path("../_toc.yml").exists() else Path()


def book_recipe() -> Segmentation:
    """The toy recipe on the photos of the book, without the ceiling."""
    recipe = toy(DATA_SEED)
    return replace(
        recipe,
        data=replace(recipe.data, root=str(home() / "data" / "book")),
        seed=DATA_SEED,
        supervised=replace(recipe.supervised, wanted=False),
    )


def prepare(*stages: str, recipe: Segmentation | None = None, name: str = "book") -> Work:
    """Has stages of the pipeline done, all that they need included.

    Args:
        stages: names of stages of the recipe; none: only the photos are drawn.
        recipe: another one than the book's.
        name: of the folder in ``runs``; with another recipe, another name. What it has in common with
            ``runs/book`` is taken over from there.

    Returns:
        The recipe, its run, and ways to read photos; see `wsss_lib.pipeline.work.Work`.
    """
    recipe = recipe or book_recipe()
    runs = home() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    reuse = [] if name == "book" or not (runs / "book").exists() else [runs / "book"]
    with FileLock(runs / "book.lock"):  # two chapters may run side by side
        return make_stages(
            recipe,
            runs / name,
            targets=stages,
            reuse=reuse,
            again=True,  # what an older edition of the book has made is of no use to this one
            progress=progress_shown(),
        )


def progress_shown() -> bool:
    """Whether to show progress bars: yes, unless the variable ``WSSS_QUIET`` is set."""
    return not os.environ.get(QUIET)


def progress(items: Iterable, title: str, total: int | None = None) -> Iterable:
    """Shows a progress bar while ``items`` are gone through; it goes when they are done."""
    return tqdm(items, desc=title, total=total, leave=False, disable=not progress_shown())


def show(figure: Figure, *, photos: bool = False) -> None:
    """Displays a figure in a notebook, the same bytes for the same figure.

    Args:
        figure: not one of pyplot's, which would be displayed twice.
        photos: it holds photos or heat maps: a JPEG on a dark card. Otherwise a transparent PNG, which
            can be read on a white page and on a black one.
    """
    from IPython.display import Image, display

    file = io.BytesIO()
    if photos:
        figure.patch.set(facecolor=CARD, alpha=1)
        margin = {"bbox_inches": "tight", "pad_inches": 0.12}
        options = {"format": "jpeg", "pil_kwargs": {"quality": 85}, **margin}
    else:
        figure.patch.set_alpha(0)
        options = {"format": "png", "metadata": {"Software": None}}
    figure.savefig(file, dpi=DOTS_PER_INCH, **options)
    display(Image(file.getvalue(), format=options["format"]))
