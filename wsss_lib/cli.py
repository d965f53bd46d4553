"""The command line: ``wsss`` or ``python -m wsss_lib``."""

import difflib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from accelerate import PartialState

from wsss_lib.data.layout import InputError
from wsss_lib.pipeline.settings import Recipe
from wsss_lib.recipes import RECIPES

ASKS_FOR_HELP = ("-h", "--help", "help")
HELP = """wsss: weakly supervised semantic segmentation, from image tags to pixel masks

  wsss run RECIPE          every stage, then the report: start here with `wsss run toy`
  wsss STAGE RECIPE        only up to this stage. In their order:
                           {stages}
  wsss evaluate FOLDER     mIoU of a folder of maps (.npz) or masks (.png)
  wsss report FOLDER       write the report of a run again
  wsss bench               measure the speed of the slow parts on this machine

Recipes:
{recipes}

Any setting of a recipe can be changed; `wsss run RECIPE --help` lists them with their meaning:

  wsss run toy --name slow-climb --advcam.steps 27 --advcam.step-size 0.04
  wsss run photos --data.root my-photos --name cats
  wsss run voc12 --data.root data/VOC2012 --seeds.source cam

A run lives in runs/NAME. Stopped and started again with the same command it goes on where it was.
`--reuse runs/OTHER` takes over the stages that another run has finished with the same settings.
In two processes: torchrun --nproc-per-node 2 -m wsss_lib run voc12"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run: where it is kept, and its recipe."""

    name: str
    """The run is kept in RUNS/NAME."""
    runs: Path = Path("runs")
    """The folder of all runs."""
    reuse: tuple[Path, ...] = ()
    """Other runs, whose finished stages are taken over where the settings are the same."""
    quiet: bool = False
    """No progress bars."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")]


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exits with 2, and one sentence, where the input cannot be used."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command(arguments)
    except InputError as error:
        sys.exit(fail(str(error)))
    except KeyboardInterrupt:
        sys.exit(fail("stopped; the same command goes on from here", code=130))


def fail(sentence: str, code: int = 2) -> int:
    """Says what is wrong and returns the exit code."""
    print(f"wsss: {sentence}", file=sys.stderr)
    return code


def command(arguments: list[str]) -> None:
    """Runs the command in the first word."""
    from wsss_lib.pipeline.make import (
        STAGES,  # imports torch's world, which --help need not wait for
    )

    commands: dict[str, Callable[[list[str]], None]] = {
        "run": lambda rest: run("run", list(STAGES), rest),
        **{name: lambda rest, name=name: run(name, [name], rest) for name in STAGES},
        "evaluate": evaluate,
        "report": report,
        "bench": bench,
    }
    if not arguments or arguments[0] in ASKS_FOR_HELP:
        print(help_text(list(STAGES)))
        return
    commands[known(arguments[0], commands, "command")](arguments[1:])


def help_text(stages: list[str]) -> str:
    """What ``wsss --help`` prints."""
    recipes = [f"  {name:10} {make.__doc__.splitlines()[0]}" for name, make in RECIPES.items()]
    return HELP.format(stages=" ".join(stages), recipes="\n".join(recipes))


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


def run(name: str, targets: list[str], arguments: list[str]) -> None:
    """``wsss run RECIPE`` and ``wsss STAGE RECIPE``."""
    from wsss_lib.pipeline.make import STAGES, run_stages

    if not arguments or arguments[0] in ASKS_FOR_HELP:
        print(help_text(list(STAGES)))
        return
    recipe = known(arguments[0], RECIPES, "recipe")
    job = tyro.cli(
        Job,
        default=Job(name=recipe, recipe=RECIPES[recipe]()),
        args=arguments[1:],
        prog=f"wsss {name} {recipe}",
        description=RECIPES[recipe].__doc__,
    )
    done = run_stages(
        job.recipe, job.runs / job.name, targets=targets, reuse=job.reuse, progress=not job.quiet
    )
    if PartialState().is_main_process:
        print(summary(done.metrics()))
        print(f"report: {done.folder / 'report.html'}")


def summary(metrics: dict) -> str:
    """The main figures of a run, one a line."""
    lines = [
        ("classifier, val mAP", metrics.get("classifier", {}).get("val_map")),
        *((f"{name} maps, train mIoU", metrics.get(name, {}).get("miou")) for name in MAPS),
        *(
            (
                f"{name} maps + CRF, train mIoU",
                metrics.get("pseudo_masks", {}).get(name, {}).get("miou"),
            )
            for name in MAPS
        ),
        ("segmenter, val mIoU", metrics.get("segmenter", {}).get("val_miou")),
        ("the same with true masks", metrics.get("segmenter", {}).get("supervised_val_miou")),
    ]
    return "\n".join(f"{name:32} {100 * value:5.1f}" for name, value in lines if value is not None)


MAPS = ("cam", "advcam", "amn")


def evaluate(arguments: list[str]) -> None:
    """``wsss evaluate FOLDER``."""
    from wsss_lib.data.photos import Photos
    from wsss_lib.pipeline.evaluation import describe_sweep, measure_masks, sweep_maps, with_truth

    asked = tyro.cli(Evaluation, args=arguments, prog="wsss evaluate")
    photos = with_truth(Photos(asked.data, asked.split))
    if photos is None:
        raise InputError(f"{asked.data} has no true masks for the split {asked.split}")
    there = {file.suffix: file for file in asked.folder.glob("*.*")}
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
    write_report(arguments[0])
    print(f"report: {Path(arguments[0]) / 'report.html'}")


def bench(arguments: list[str]) -> None:
    """``wsss bench``."""
    from wsss_lib.pipeline.bench import Bench, measure

    print(json.dumps(measure(tyro.cli(Bench, args=arguments, prog="wsss bench")), indent=1))
