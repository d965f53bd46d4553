"""The command line: ``wsss`` or ``python -m wsss_lib``.

Nothing here imports PyTorch until a command needs it, so that help and a mistyped word are answered at once.
"""

from __future__ import annotations

import ast
import difflib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from wsss_lib.data.layout import InputError
from wsss_lib.data.limits import refuse_outside
from wsss_lib.exits import in_one_sentence, is_main

if TYPE_CHECKING:
    from wsss_lib.pipeline.recipe import Recipe
    from wsss_lib.pipeline.runs import Run

ASKS_FOR_HELP = ("-h", "--help", "help")
COMMANDS = ("run", "evaluate", "report", "bench")
HELP = """wsss: weakly supervised semantic segmentation, from image tags to pixel masks

  wsss run RECIPE          every stage, then the report: start here with `wsss run toy`
  wsss STAGE RECIPE        only up to this stage; `wsss run RECIPE --dry-run` lists them, what there
                           is of each, and what it will take of time, memory and disk
  wsss evaluate FOLDER     mIoU of a folder of maps (.npz) or masks (.png)
  wsss report FOLDER       write the report of a run again
  wsss bench               measure the speed of the slow parts on this machine

Recipes:
{recipes}

Any setting of a recipe can be changed; `wsss run RECIPE --help` lists them with their meaning:

  wsss run toy --name slow-climb --advcam.steps 27 --advcam.step-size 0.04
  wsss run photos --data.root my-photos --name cats --advcam.seed-thresholds 0.5 0.2 --again
  wsss run voc12 --name from-cam --seeds.source cam --segmenter.source cam_masks --reuse runs/voc12
  wsss run voc12 --supervised.wanted False

A run lives in runs/NAME. Stopped and started again with the same command it goes on where it was.
What was made with other settings or other photos is never removed unasked: give another --name, where
`--reuse runs/OTHER` takes over the stages that are the same, or say --again.
In two processes: torchrun --nproc-per-node 2 -m wsss_lib run voc12"""


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


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Compares a folder of maps or masks with the true masks."""

    folder: tyro.conf.Positional[Path]
    """Holds <id>.npz (maps) or <id>.png (masks)."""
    data: Path
    """The dataset, in the one layout."""
    split: str = "train"
    """The photos to compare."""
    threshold: float | None = None
    """For maps: the mIoU at this threshold too, besides the best one."""

    def __post_init__(self) -> None:
        refuse_outside(self, "threshold", least=0, most=1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exits with 2, and one sentence, where the input cannot be used."""
    with in_one_sentence():
        command(list(sys.argv[1:] if arguments is None else arguments))


def command(arguments: list[str]) -> None:
    """Runs the command in the first word."""
    word, *rest = arguments or ["help"]
    alone = {"evaluate": evaluate, "report": report, "bench": bench}
    if word in alone:
        alone[word](rest)
        return
    recipes, stages = vocabulary()
    if word not in ASKS_FOR_HELP:
        known(word, [*COMMANDS, *stages], "command")
        if rest and rest[0] not in ASKS_FOR_HELP:
            known(rest[0], list(recipes), "recipe")
            run(word, *rest)
            return
    if is_main():
        lines = (f"  {name:10} {about}" for name, about in recipes.items())
        print(HELP.format(recipes="\n".join(lines)))


def vocabulary() -> tuple[dict[str, str], list[str]]:
    """The recipes, with a line about each, and the stages of all of them.

    They are read from the source, since importing it takes seconds; where it is imported, recipes may have been added.
    """
    if "wsss_lib.recipes" in sys.modules:
        made = sys.modules["wsss_lib.recipes"].RECIPES
        stages = dict.fromkeys(name for make in made.values() for name in make().stages)
        about = {name: (make.__doc__ or "").partition("\n")[0] for name, make in made.items()}
        return about, list(stages)
    tree = ast.parse(Path(__file__).with_name("recipes.py").read_text(encoding="utf-8"))
    fields = [node for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
    stages = [each.target.id for each in fields if ast.unparse(each.annotation).endswith("Stage")]
    docs = {node.name: ast.get_docstring(node) for node in tree.body if hasattr(node, "name")}
    (made,) = (node.value for node in tree.body if isinstance(node, ast.Assign))
    makers = {key.value: value.id for key, value in zip(made.keys, made.values)}
    return {name: docs[maker].partition("\n")[0] for name, maker in makers.items()}, stages


def known(word: str, words: Sequence[str], kind: str) -> str:
    """Returns ``word``, or says which words there are.

    Raises:
        InputError: there is no such word.
    """
    if word in words:
        return word
    near = difflib.get_close_matches(word, words, n=1)
    guess = f"; did you mean {near[0]}?" if near else "."
    raise InputError(f"there is no {kind} {word!r}{guess} There are: {', '.join(words)}")


def run(word: str, name: str, *arguments: str) -> None:
    """``wsss run RECIPE`` and ``wsss STAGE RECIPE``."""
    from wsss_lib.pipeline import ranks
    from wsss_lib.pipeline.make import run_stages
    from wsss_lib.recipes import RECIPES

    recipe = RECIPES[name]()
    stages = list(recipe.stages)
    targets = stages if word == "run" else [known(word, stages, f"stage of {name}")]
    job = asked(word, name, recipe, RECIPES[name].__doc__, arguments)
    if job.dry_run:
        from wsss_lib.pipeline.outlook import dry_run

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


def parsed(kind: type, arguments: Sequence[str], words: str, **more) -> object:
    """What options ask for; one process says what is wrong with them."""
    options = {"args": arguments, "config": (tyro.conf.FlagCreatePairsOff,), **more}
    try:
        return tyro.cli(kind, prog=f"wsss {words}", console_outputs=is_main(), **options)
    except (
        ValueError
    ) as error:  # of a setting that the outermost class checks; tyro says all others
        raise InputError(str(error)) from error


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


def evaluate(arguments: list[str]) -> None:
    """``wsss evaluate FOLDER``."""
    asked = parsed(Evaluation, arguments, "evaluate")
    from wsss_lib.data.photos import Photos
    from wsss_lib.pipeline import ranks
    from wsss_lib.pipeline.evaluation import describe_sweep, measure_masks, sweep_maps, with_truth

    ranks.join()
    photos = with_truth(Photos(asked.data, asked.split))
    if photos is None:
        raise InputError(f"{asked.data} has no true masks for the split {asked.split}")
    say = print if ranks.is_main() else lambda line: None
    there = {file.suffix for file in asked.folder.glob("*.*")}
    if ".npz" in there:
        sweep = sweep_maps(asked.folder, photos.tagged())
        threshold = sweep.best()[0] if asked.threshold is None else asked.threshold
        figures = describe_sweep(sweep, threshold, photos.names)
        best, at = 100 * figures["miou_best"], figures["threshold_best"]
        say(f"best mIoU {best:.2f} at threshold {at:.3f}")
        if asked.threshold is not None:
            say(f"mIoU {100 * figures['miou']:.2f} at threshold {asked.threshold}")
    elif ".png" in there:
        figures = measure_masks(asked.folder, photos)
        miou, unsure = 100 * figures["miou"], 100 * figures["unsure"]
        say(f"mIoU {miou:.2f}, unsure {unsure:.1f} % of the pixels")
    else:
        raise InputError(f"{asked.folder} holds neither maps (.npz) nor masks (.png)")
    for name, value in figures["iou"].items():
        say(f"  {name:20} {100 * value:6.2f}")


def report(arguments: list[str]) -> None:
    """``wsss report FOLDER``."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise InputError("give the folder of one run: wsss report runs/toy")
    from wsss_lib.pipeline.report import write_report

    if is_main():
        print(f"report: {write_report(arguments[0])}")


def bench(arguments: list[str]) -> None:
    """``wsss bench``."""
    from wsss_lib.pipeline.bench import Bench, measure

    rows = measure(parsed(Bench, arguments, "bench"))
    if is_main():
        print(json.dumps(rows, indent=1))
