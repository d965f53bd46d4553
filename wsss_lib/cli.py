"""The command line: ``wsss`` or ``python -m wsss_lib``.

Nothing here imports PyTorch until a command needs it, so that help and a mistyped word are answered at once.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from wsss_lib.data.limits import known
from wsss_lib.exits import in_one_sentence, is_main

ASKS_FOR_HELP = ("-h", "--help", "help")
# commands without a recipe, each a module
ALONE = ("prepare", "maps", "predict", "export", "evaluate", "report", "bench")
HELP = """wsss: weakly supervised semantic segmentation, from image tags to pixel masks

  wsss run RECIPE          every stage, then the report: start here with `wsss run toy`
  wsss STAGE RECIPE        only up to this stage; `wsss run RECIPE --dry-run` lists them, what there
                           is of each, and what it will take of time, memory and disk
  wsss prepare SOURCE DATA bring photos and tags of any usual form into the layout that is read
  wsss predict RUN PHOTOS  masks of any photos, by the segmentation network of a run
  wsss export RUN          the masks of a run, or of predict, as COCO, Label Studio, mmseg or VOC has them
  wsss maps PHOTOS         CAM and AdvCAM of any photos, with any trained classifier as it is
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exits with 2, and one sentence, where the input cannot be used."""
    with in_one_sentence():
        command(list(sys.argv[1:] if arguments is None else arguments))


def command(arguments: list[str]) -> None:
    """Runs the command in the first word."""
    word, *rest = arguments or ["help"]
    if word in ALONE:
        module = importlib.import_module(f"wsss_lib.commands.{word}")
        getattr(module, word)(rest)
        return
    recipes, stages = vocabulary()
    if word not in ASKS_FOR_HELP:
        known(word, ["run", *ALONE, *stages], "command")
        if rest and rest[0] not in ASKS_FOR_HELP:
            known(rest[0], list(recipes), "recipe")
            from wsss_lib.commands.run import run

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
