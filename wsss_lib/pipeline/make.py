"""Makes what is not there yet, in the order of what needs what.

A stage is done once for one *fingerprint*: its settings, its photos, and the fingerprints of the stages it reads from.
What has the same fingerprint is never made again, and another run can take it over (``reuse``). What was made under
another fingerprint is never removed unless that is asked for (``again``): another setting, another photo, another version
of a stage are first said.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wsss_lib import toy
from wsss_lib.data.files import remove, write_json
from wsss_lib.data.layout import InputError
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.evaluation import with_bands
from wsss_lib.pipeline.fingerprints import fingerprint, plain
from wsss_lib.pipeline.kinds import MAPS
from wsss_lib.pipeline.memory import refuse_small_memory
from wsss_lib.pipeline.recipe import Data, Recipe
from wsss_lib.pipeline.rehearsal import memory_is_said, rehearse, try_largest
from wsss_lib.pipeline.report import write_report
from wsss_lib.pipeline.runs import Run, difference, full_disk_is_said
from wsss_lib.pipeline.stage import Stage, deciding
from wsss_lib.pipeline.work import Work


@dataclass(frozen=True)
class Planned:
    """A stage, and what there is of it.

    Attributes:
        name: of the stage.
        key: its fingerprint.
        of: what the fingerprint stands for.
        state: ``done``; ``begun``, and goes on; ``taken over`` from another run; ``new``; or made ``otherwise``.
    """

    name: str
    key: str
    of: dict
    state: Literal["done", "begun", "taken over", "new", "otherwise"]


def run_stages(
    recipe: Recipe,
    folder: str | Path,
    *,
    targets: Sequence[str] | None = None,
    reuse: Sequence[str | Path] = (),
    again: bool = False,
    progress: bool = True,
) -> Run:
    """Makes the target stages and all that they need, and writes the report.

    Takes what `make_stages` takes, and raises what it raises.
    """
    work = make_stages(recipe, folder, targets=targets, reuse=reuse, again=again, progress=progress)
    if ranks.is_main():
        with full_disk_is_said(work.run.folder):
            write_report(work.run.folder)
    ranks.wait()
    return work.run


def make_stages(
    recipe: Recipe,
    folder: str | Path,
    *,
    targets: Sequence[str] | None = None,
    reuse: Sequence[str | Path] = (),
    again: bool = False,
    progress: bool = True,
) -> Work:
    """Makes the target stages and all that they need.

    Args:
        recipe: what to do.
        folder: of the run; made, or gone on with.
        targets: names of stages; None: all of the recipe.
        reuse: folders of runs from which stages may be taken over.
        again: stages that were made otherwise may be removed and made again.
        progress: show progress bars.

    Returns:
        The recipe and its run, for whoever goes on with it.

    Raises:
        InputError: something given cannot be used, or a stage was made otherwise; nothing half-written is left.
    """
    targets = list(recipe.stages) if targets is None else list(targets)
    work, others = opened(recipe, folder, progress), [Run.existing(other) for other in reuse]
    stages = ranks.decided_by_main(lambda: plan(work, others))
    wanted = [each for each in stages if each.name in recipe.in_order(targets)]
    if not again:
        refuse_to_remove(work.run, wanted)
    to_make = [each.name for each in wanted if each.state not in ("done", "taken over")]
    ranks.decided_by_main(lambda: rehearse(work, to_make))
    if work.device.type == "cuda":  # each process has a device of its own
        with ranks.own_share():
            for name in to_make:
                try_largest(work.of(name))
    else:
        ranks.decided_by_main(lambda: [refuse_small_memory(work.of(name)) for name in to_make])
    if ranks.is_main():
        work.run.start(recipe, seed=recipe.seed)
    ranks.wait()
    with ranks.own_share(), full_disk_is_said(work.run.folder), damage_is_said(work.run):
        for each in wanted:
            make_stage(work.of(each.name), each, others)
        if ranks.is_main():
            write_metrics(work, stages)
    ranks.wait()
    return work


def opened(recipe: Recipe, folder: str | Path, progress: bool) -> Work:
    """Draws the photos of a recipe, if it asks for it, and reads its lists of photos: one process first, then all.

    Raises:
        InputError: they cannot be read, or the processes were asked for different things.
    """
    recipe.in_order(list(recipe.stages))  # refuses a source that is not there
    ranks.join()
    if len(set(ranks.gathered(fingerprint(recipe, Path(folder))))) > 1:
        raise InputError("the processes of one run were started with different settings")
    work = Work(recipe, Run(folder), progress)

    def first() -> None:
        draw(recipe.data, progress)
        for part in ("train", "maps", "val"):
            work.photos(part)

    ranks.decided_by_main(first)
    return work


def draw(data: Data, progress: bool) -> None:
    """Draws the embedded dataset, if the recipe asks for it and it is not there."""
    if data.draw_seed is not None:
        train, val, test = data.draw_photos
        options = {"seed": data.draw_seed, "size": data.draw_size, "progress": progress}
        with full_disk_is_said(Path(data.root)):
            toy.write(data.root, train=train, val=val, test=test, **options)


def plan(work: Work, others: Sequence[Run] = ()) -> list[Planned]:
    """What there is of every stage of the recipe that can be made of its data; nothing is changed."""
    planned: dict[str, Planned] = {}
    for name in work.recipe.in_order(list(work.recipe.stages)):
        stage = work.recipe.stages[name]
        needs = stage.needs(work.recipe)
        if all(need in planned for need in needs) and stage.possible(work.of(name)):
            of = meaning(work.of(name), stage, {need: planned[need].key for need in needs})
            key = fingerprint(of)
            planned[name] = Planned(name, key, of, state_of(work.run, name, key, stage, others))
    return list(planned.values())


def meaning(work: Work, stage: Stage, needs: dict[str, str]) -> dict:
    """What the fingerprint of a stage stands for: all that decides what it makes."""
    return plain(
        {
            "stage": type(stage).__name__,
            "version": stage.version,
            "settings": deciding(stage),
            "also": stage.also(work),
            "photos": {part: work.photos(part).fingerprint() for part in stage.reads},
            "needs": needs,
        }
    )


def state_of(run: Run, name: str, key: str, stage: Stage, others: Sequence[Run]) -> str:
    """What there is of a stage; see `Planned`."""
    mark = run.mark(name)
    if run.fresh(name, key):
        return "done"
    if mark["key"] == key:
        return "begun"
    outputs = {*mark["outputs"], *(each for kind in stage.makes for each in kind.outputs(name))}
    if any(map(run.has, outputs)):
        return "otherwise"
    taken = any(other.mark(name)["key"] == key and other.mark(name)["done"] for other in others)
    return "taken over" if taken else "new"


def refuse_to_remove(run: Run, stages: Sequence[Planned]) -> None:
    """Says which stages were made otherwise, and in what.

    Raises:
        InputError: there is one.
    """
    names = [each.name for each in stages if each.state == "otherwise"]
    if not names:
        return
    first = next(each for each in stages if each.name == names[0])
    more = f" ({', '.join(names[1:])} would follow)" if names[1:] else ""
    raise InputError(
        f"{run.folder} holds {first.name} made otherwise: {why(run.mark(first.name)['of'], first)}{more}. Give this run "
        f"another --name (--reuse {run.folder} takes over what is the same), or say --again to remove that and make it anew"
    )


def why(before: dict, now: Planned) -> str:
    """In what a stage differs from how it was made, in words."""
    if not before:
        return "nobody knows how"
    if before.get("photos") != now.of["photos"]:
        return "its photos or their tags have changed"
    if before.get("version") != now.of["version"]:
        return (
            f"by version {before.get('version')} of the stage, this is version {now.of['version']}"
        )
    return (
        difference(before.get("settings"), now.of["settings"], now.name)
        or difference(before.get("also"), now.of["also"])
        or "from other files of a stage before it"
    )


def make_stage(work: Work, planned: Planned, others: Sequence[Run]) -> None:
    """Makes a stage and measures it, unless this run or another one has done so under the same fingerprint."""
    name, key, run = planned.name, planned.key, work.run
    done = ranks.decided_by_main(
        lambda: run.fresh(name, key) or any(run.reuse(other, name, key) for other in others)
    )
    if done:
        return
    if ranks.is_main():
        outputs = [each for kind in work.stage.makes for each in kind.outputs(name)]
        run.begin(name, key, planned.of, outputs, shown(work))
    ranks.wait()
    start = time.perf_counter()
    with memory_is_said(name):
        figures = work.stage.make(work) or {}
    ranks.wait()
    for kind in work.stage.makes:
        figures |= kind.measure(work) if kind.measure else {}
    if ranks.is_main():
        run.finish(name, key, figures, time.perf_counter() - start)
    ranks.wait()


def shown(work: Work) -> dict:
    """What is said of a stage: it stands in the mark, so that a report needs no code of stages, and a network no dataset."""
    stage = work.stage
    headlines = [stage.headline, *(kind.headline for kind in stage.makes)]
    return {
        "title": stage.title_in(work.recipe),
        "kinds": [kind.folder for kind in stage.makes],
        "headline": next(filter(None, headlines), None),
        "line": stage.line,
        "warnings": stage.warnings(work),
        "names": work.photos("maps").names,
    }


@contextlib.contextmanager
def damage_is_said(run: Run) -> Iterator[None]:
    """If a file of the run cannot be read, its stage is marked as not done.

    Raises:
        InputError: which file it is, and that the same command makes it again.
    """
    try:
        yield
    except InputError as error:
        stage = run.maker(error.file) if error.file else None
        if stage is None:
            raise
        run.undo(stage)
        remove(error.file)
        raise InputError(
            f"{error.file} was damaged or is missing, so {stage} counts as not done: give the same command again, which "
            "makes what is missing"
        ) from error


def write_metrics(work: Work, stages: Sequence[Planned]) -> None:
    """Writes the figures of all stages that are done as the recipe says."""
    done = {each.name for each in stages if work.run.fresh(each.name, each.key)}
    figures = work.run.figures([name for name in work.recipe.stages if name in done])
    reference = next(iter(work.recipe.making(MAPS)), "")
    write_json(work.run.folder / "metrics.json", with_bands(figures, reference))
