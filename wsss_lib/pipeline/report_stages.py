"""What the files of a run tell a report of its stages.

A run may come from somebody else, or from another version: what does not have the form that it should have is left out.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from dataclasses import dataclass

from wsss_lib.pipeline import plots
from wsss_lib.pipeline.kinds import KINDS, Kind
from wsss_lib.pipeline.runs import Run


@dataclass(frozen=True)
class Made:
    """A stage, as the files of its run tell of it.

    Attributes:
        name: of its folders.
        title: what people call it; no other stage of the run is called so.
        kinds: of the files that it makes.
        headline: the figure that says how it went, and what that is.
        line: colour and dashes of its curve.
        warnings: what was said before it was made.
        done: whether all its files are there.
        figures: what was measured; None if nothing was so far.
    """

    name: str
    title: str
    kinds: tuple[Kind, ...]
    headline: tuple[str, str] | None
    line: plots.Line | None
    warnings: list[str]
    done: bool
    figures: dict | None


def stages_of(run: Run) -> list[Made]:
    """The stages of a run that were begun, in the order of its recipe."""
    metrics = mapping(run.metrics())
    marks = {file.stem: run.mark(file.stem) for file in (run.folder / "stages").glob("*.json")}
    names = [name for name in mapping(run.recipe) if name in marks]
    shown = {name: mapping(marks.get(name, {}).get("shown")) for name in [*names, *metrics]}
    titles = {name: text(told.get("title")) or name for name, told in shown.items()}
    times = collections.Counter(titles.values())
    return [
        Made(
            name=name,
            title=titles[name] if times[titles[name]] == 1 else f"{titles[name]} ({name})",
            kinds=tuple(KINDS[kind] for kind in KINDS if kind in listed(told.get("kinds"))),
            headline=headline(told.get("headline")),
            line=plots.as_line(told.get("line")),
            warnings=[each for each in listed(told.get("warnings")) if text(each)],
            done=marks.get(name, {}).get("done") is True,
            figures=mapping(metrics[name]) if name in metrics else None,
        )
        for name, told in shown.items()
    ]


def points(curve: object) -> Iterator[tuple[float, float | None]]:
    """The points of a curve: a threshold, and a mIoU or None."""
    for point in listed(curve):
        threshold, miou = point if isinstance(point, list) and len(point) == 2 else (None, None)
        if number(threshold) is not None:
            yield threshold, number(miou)


def mapping(value: object) -> dict:
    """A dict as it is; an empty one for all else."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list:
    """A list as it is; an empty one for all else."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """A text as it is; an empty one for all else."""
    return value if isinstance(value, str) else ""


def headline(value: object) -> tuple[str, str] | None:
    """The name of a figure and what it is; None for all else."""
    key, meaning = value if isinstance(value, list) and len(value) == 2 else ("", "")
    return (key, meaning) if text(key) and text(meaning) else None


def number(value: object) -> float | None:
    """A number as it is; None for all else, also for what is not finite or absurd."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return value if known and abs(value) < 1e12 else None
