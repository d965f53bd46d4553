"""``wsss run RECIPE`` and ``wsss STAGE RECIPE``: makes the stages of a recipe, then the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wsss_lib.commands.options import parsed
from wsss_lib.data.limits import known
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.make import run_stages
from wsss_lib.pipeline.outlook import dry_run
from wsss_lib.pipeline.recipe import Recipe
from wsss_lib.pipeline.runs import Run
from wsss_lib.recipes import RECIPES


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run: where it is kept, and its recipe."""

    name: str
    """The run is kept in RUNS/NAME."""
    runs: Path = Path("runs")
    """The folder of all runs."""
    reuse: tuple[Path, ...] = ()
    """Other runs; what they have made of a stage with the same settings, finished or not, is taken over."""
    again: bool = False
    """Remove what was made with other settings, other photos or another version of a stage, and make it anew."""
    dry_run: bool = False
    """Make nothing: say what there is, what would be made, and what it would take."""
    quiet: bool = False
    """No progress bars."""


def run(word: str, name: str, *arguments: str) -> None:
    """``wsss run RECIPE`` and ``wsss STAGE RECIPE``."""
    recipe = RECIPES[name]()
    stages = list(recipe.stages)
    targets = stages if word == "run" else [known(word, stages, f"stage of {name}")]
    job = asked(word, name, recipe, RECIPES[name].__doc__, arguments)
    if job.dry_run:
        text = dry_run(job.recipe, job.runs / job.name, targets, job.reuse, job.again)
        if ranks.is_main():
            print(text)
        return
    done = run_stages(
        job.recipe,
        job.runs / job.name,
        targets=targets,
        reuse=job.reuse,
        again=job.again,
        progress=not job.quiet,
    )
    if ranks.is_main():
        print(summary(done))
        print(f"report: {done.folder / 'report.html'}")


def asked(word: str, name: str, recipe: Recipe, meaning: str, arguments: Sequence[str]) -> Job:
    """The run that is asked for: every setting of the recipe is an option."""
    options = Annotated[type(recipe), tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    kind = make_dataclass("Run", [("recipe", options)], bases=(Job,), frozen=True, kw_only=True)
    default = kind(name=name, recipe=recipe)
    return parsed(kind, arguments, f"{word} {name}", default=default, description=meaning)


def summary(run: Run) -> str:
    """The main figure of each stage, one a line."""
    lines = []
    for name, figures in run.metrics().items():
        shown = run.mark(name)["shown"]
        key, meaning = shown["headline"] or (None, "")
        if figures.get(key) is not None:
            said = f"{shown['title']}, {meaning}"
            lines.append(f"{said:56} {100 * figures[key]:5.1f}")
    return "\n".join(lines)
