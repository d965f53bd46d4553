"""The command line: ``wsss`` or ``python -m wsss_lib``.

Nothing here imports PyTorch until a command needs it, so that help and a mistyped word are answered at once.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from wsss_lib.data.layout import InputError

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
  toy        The embedded dataset: every stage in minutes on two CPU cores.
  toy-quick  The toy recipe on few, small photos and for few steps: a rehearsal of under a minute.
  voc12      PASCAL VOC 2012 as in the papers: ResNet-50, then DeepLabV2-ResNet-101, on a GPU.
  photos     Your own tagged photos: MobileNetV2, sizes that a laptop bears, no truth needed.

Any setting of a recipe can be changed; `wsss run RECIPE --help` lists them with their meaning:

  wsss run toy --name slow-climb --advcam.steps 27 --advcam.step-size 0.04
  wsss run photos --data.root my-photos --name cats
  wsss run voc12 --data.root data/VOC2012 --seeds.source cam
  wsss advcam voc12 --advcam.threshold 0.22

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
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"a threshold lies in 0 ... 1, but is {self.threshold}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exits with 2, and one sentence, where the input cannot be used."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command(arguments)
        sys.stdout.flush()
    except InputError as error:
        sys.exit(fail(str(error)))
    except KeyboardInterrupt:
        sys.exit(fail("stopped; the same command goes on from here", code=130))
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(fail(f"{place}{error.strerror or error}"))


def fail(sentence: str, code: int = 2) -> int:
    """Says what is wrong, once where several processes find it, and returns the exit code."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"wsss: {sentence}", file=sys.stderr)
    return code


def command(arguments: list[str]) -> None:
    """Runs the command in the first word."""
    if not arguments or arguments[0] in ASKS_FOR_HELP:
        print(HELP)
        return
    word, rest = arguments[0], arguments[1:]
    alone = {"evaluate": evaluate, "report": report, "bench": bench}
    if word in alone:
        alone[word](rest)
    elif word == "run" and (not rest or rest[0] in ASKS_FOR_HELP):
        print(HELP)
    elif not rest:
        known(word, COMMANDS, "command")
    else:
        run(word, rest)


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


def run(word: str, arguments: list[str]) -> None:
    """``wsss run RECIPE`` and ``wsss STAGE RECIPE``."""
    from wsss_lib.pipeline import ranks
    from wsss_lib.pipeline.make import run_stages
    from wsss_lib.recipes import RECIPES

    stages = {name: list(make().stages) for name, make in RECIPES.items()}
    known(word, [*COMMANDS, *dict.fromkeys(sum(stages.values(), []))], "command")
    name = known(arguments[0], list(RECIPES), "recipe")
    recipe = RECIPES[name]()
    targets = recipe.in_order(list(recipe.stages) if word == "run" else [word])
    job = asked(word, name, recipe, RECIPES[name].__doc__, arguments[1:])
    ranks.join()
    if job.dry_run:
        from wsss_lib.pipeline.estimate import dry_run

        print(dry_run(job.recipe, job.runs / job.name, targets, job.reuse))
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


def asked(word: str, name: str, recipe: Recipe, meaning: str, arguments: list[str]) -> Job:
    """The run that is asked for: every setting of the recipe is an option."""
    kind = make_dataclass(
        "Run",
        [("recipe", Annotated[type(recipe), tyro.conf.arg(name="")])],
        bases=(Job,),
        frozen=True,
        kw_only=True,
    )
    default = kind(name=name, recipe=recipe)
    prog = f"wsss {word} {name}"
    return tyro.cli(kind, default=default, args=arguments, prog=prog, description=meaning)


def summary(run: Run) -> str:
    """The main figure of each stage, one a line."""
    lines = []
    for name, figures in run.metrics().items():
        shown = run.mark(name)["shown"]
        key, meaning = shown["headline"] or (None, "")
        if figures.get(key) is not None:
            said = f"{shown['title']}, {meaning}"
            lines.append(f"{said:52} {100 * figures[key]:5.1f}")
    return "\n".join(lines)


def evaluate(arguments: list[str]) -> None:
    """``wsss evaluate FOLDER``."""
    from wsss_lib.data.photos import Photos
    from wsss_lib.pipeline.evaluation import describe_sweep, measure_masks, sweep_maps, with_truth

    asked = tyro.cli(Evaluation, args=arguments, prog="wsss evaluate")
    photos = with_truth(Photos(asked.data, asked.split))
    if photos is None:
        raise InputError(f"{asked.data} has no true masks for the split {asked.split}")
    there = {file.suffix for file in asked.folder.glob("*.*")}
    if ".npz" in there:
        sweep = sweep_maps(asked.folder, photos.tagged())
        threshold = sweep.best()[0] if asked.threshold is None else asked.threshold
        figures = describe_sweep(sweep, threshold, photos.names)
        print(
            f"best mIoU {100 * figures['miou_best']:.2f} at threshold {figures['threshold_best']:.3f}"
        )
        if asked.threshold is not None:
            print(f"mIoU {100 * figures['miou']:.2f} at threshold {asked.threshold}")
    elif ".png" in there:
        figures = measure_masks(asked.folder, photos)
        print(
            f"mIoU {100 * figures['miou']:.2f}, unsure {100 * figures['unsure']:.1f} % of the pixels"
        )
    else:
        raise InputError(f"{asked.folder} holds neither maps (.npz) nor masks (.png)")
    for name, value in figures["iou"].items():
        print(f"  {name:20} {100 * value:6.2f}")


def report(arguments: list[str]) -> None:
    """``wsss report FOLDER``."""
    from wsss_lib.pipeline.report import write_report

    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise InputError("give the folder of one run: wsss report runs/toy")
    print(f"report: {write_report(arguments[0])}")


def bench(arguments: list[str]) -> None:
    """``wsss bench``."""
    from wsss_lib.pipeline.bench import Bench, measure

    print(json.dumps(measure(tyro.cli(Bench, args=arguments, prog="wsss bench")), indent=1))
