"""A run that is not made: what there is of each stage, and what the rest would take (``--dry-run``)."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from wsss_lib import toy
from wsss_lib.data.photos import Photos
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.estimate import Estimate, estimated
from wsss_lib.pipeline.make import Planned, draw, opened, plan, why
from wsss_lib.pipeline.recipe import Recipe
from wsss_lib.pipeline.rehearsal import free_bytes, refuse_small_disk, rehearse
from wsss_lib.pipeline.report import duration
from wsss_lib.pipeline.runs import Run
from wsss_lib.pipeline.work import Work

PARTS = ("train", "maps", "val")
SKETCHES = 24  # photos of each list that stand for those that are still to be drawn
COLUMNS = "{:16}{:>14}{:>10}{:>10}   {}"
NOTES = """Times and memory are estimates for {processes} on this machine ({device}), as busy as it is now. Left out: reading
and writing files, augmentation, evaluation, which with photos as small as the drawn ones is half as much again.
A stage that goes on is counted as a whole."""


def dry_run(
    recipe: Recipe,
    folder: str | Path,
    targets: Sequence[str],
    reuse: Sequence[str | Path] = (),
    again: bool = False,
) -> str:
    """Says what a run would do, as a table: one line a stage. Nothing of it is made or changed.

    Published weights are fetched and photos looked at, as the run does before its first stage.

    Args:
        recipe: what to do.
        folder: of the run.
        targets: names of stages; those that they need come with them.
        reuse: folders of runs from which stages may be taken over.
        again: stages that were made otherwise may be made anew.

    Raises:
        InputError: as the run itself, before its first stage.
    """
    targets = recipe.in_order(targets)
    if undrawn(recipe):
        ranks.join()
        return ranks.decided_by_main(lambda: outlook_undrawn(recipe, folder, targets))
    work, others = opened(recipe, folder, progress=False), [Run.existing(other) for other in reuse]
    return ranks.decided_by_main(lambda: outlook(work, targets, others, again))


def outlook(work: Work, targets: Sequence[str], others: Sequence[Run], again: bool) -> str:
    """The table of photos that are there."""
    stages = [each for each in plan(work, others) if each.name in targets]
    to_make = [each.name for each in stages if each.state not in ("done", "taken over")]
    rehearse(work, to_make)
    estimates = {name: estimated(work.of(name)) for name in to_make}
    said = {each.name: state(work, each, others, again) for each in stages}
    return f"{work.run.folder}\n{table(work, said, estimates)}"


def state(work: Work, planned: Planned, others: Sequence[Run], again: bool) -> str:
    """What there is of a stage, in words."""
    name = planned.name
    if planned.state == "taken over":
        other = next(each for each in others if each.mark(name)["key"] == planned.key)
        return f"taken over from {other.folder}"
    if planned.state == "otherwise":
        anew = "will be made anew" if again else "needs --again"
        return f"made otherwise, {anew}: {why(work.run.mark(name)['of'], planned)}"
    return {"done": "done", "begun": "goes on", "new": "will be made"}[planned.state]


def table(work: Work, said: dict[str, str], estimates: dict[str, Estimate]) -> str:
    """One line a stage, their sum, and what the figures mean."""
    lines = [COLUMNS.format("stage", "time", "memory", "disk", "")]
    for name, words in said.items():
        one = estimates.get(name)
        figures = [""] * 3 if one is None else [duration(one.seconds), *sizes(one.memory, one.disk)]
        lines.append(COLUMNS.format(name, *figures, words))
    lines = [line.rstrip() for line in lines]
    known = list(estimates.values())
    if not known:
        return "\n".join([*lines, "", "There is nothing left to make."])
    seconds = sum(each.seconds or 0 for each in known)
    most, disk = max(each.memory for each in known), sum(each.disk for each in known)
    free = f"{gigabytes(free_bytes(work))} are free on the disk"
    lines.append(COLUMNS.format("together", duration(seconds), *sizes(most, disk), free))
    processes = "one process" if ranks.count() == 1 else f"{ranks.count()} processes"
    return "\n".join([*lines, "", NOTES.format(processes=processes, device=work.device.type)])


def sizes(memory: float, disk: float) -> tuple[str, str]:
    """Two columns of the table; no memory is that of a stage without a network."""
    return gigabytes(memory) if memory else "–", gigabytes(disk)


def gigabytes(size: float) -> str:
    """Bytes in words."""
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.1f} MB"


def undrawn(recipe: Recipe) -> bool:
    """Whether the photos of a recipe are still to be drawn."""
    root = Path(recipe.data.root)
    in_the_way = root.exists() and (not root.is_dir() or any(root.iterdir()))
    return recipe.data.draw_seed is not None and not in_the_way


def outlook_undrawn(recipe: Recipe, folder: str | Path, targets: Sequence[str]) -> str:
    """The table of photos that are still to be drawn."""
    data = recipe.data
    with sketched(recipe, folder) as work:
        possible = [name for name in targets if recipe.stages[name].possible(work.of(name))]
        for name in possible:
            recipe.stages[name].rehearse(work.of(name))
        refuse_small_disk(work, possible)
        estimates = {name: estimated(work.of(name)) for name in possible}
        begun = {name: work.run.mark(name)["key"] != "" for name in possible}
    said = {
        name: "known when the photos are there" if begun[name] else "will be made"
        for name in possible
    }
    drawn = f"{sum(data.draw_photos)} photos of {data.draw_size} x {data.draw_size} pixels"
    return f"{folder}\n{data.root} is not there: {drawn} would be drawn.\n{table(work, said, estimates)}"


@contextlib.contextmanager
def sketched(recipe: Recipe, folder: str | Path) -> Iterator[Work]:
    """A work whose photos are a few that are drawn elsewhere for a moment, repeated up to the number asked for."""
    few = tuple(min(SKETCHES, count) for count in recipe.data.draw_photos)
    work = Work(recipe, Run(folder), progress=False)
    with tempfile.TemporaryDirectory() as place:
        data = replace(recipe.data, root=str(Path(place) / "sketches"), draw_photos=few)
        draw(data, progress=False)
        counts = dict(zip(toy.SPLITS, recipe.data.draw_photos))
        for split in map(recipe.split, PARTS):
            photos = Photos(data.root, split)
            repeated = [i % len(photos) for i in range(counts[split])]
            work.opened[recipe.data.root, split] = photos.subset(repeated)
        yield work
