"""A network of a run, opened to label the pixels of photos that the run has never seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from wsss_lib.data.layout import LABELS, InputError, class_names
from wsss_lib.learning.storage import digest, load_state
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.kinds import NETWORK, PREDICTIONS
from wsss_lib.pipeline.recipe import Recipe
from wsss_lib.pipeline.runs import Run
from wsss_lib.pipeline.stage import LookingStage
from wsss_lib.pipeline.work import Work


@dataclass(frozen=True)
class Trained:
    """A network that labels pixels.

    Attributes:
        work: its recipe, its run and its name.
        settings: the stage that says how it looks at photos.
        model: on the device, in evaluation mode.
        names: class names, background first.
        digest: stands for its weights.
    """

    work: Work
    settings: LookingStage
    model: nn.Module
    names: list[str]
    digest: str


def labelling(recipe: Recipe) -> list[str]:
    """The stages that make a network which labels pixels; the first is the one that a run is made for."""
    makers = [
        name
        for name in recipe.making(NETWORK)
        if isinstance(recipe.stages[name].of_network(recipe), LookingStage)
    ]
    return sorted(makers, key=lambda name: PREDICTIONS not in recipe.stages[name].makes)


def trained(recipe: Recipe, run: Run, name: str, *, progress: bool = True) -> Trained:
    """Opens a network of a run; neither the dataset nor pretrained weights are needed.

    Args:
        recipe: with the settings that the network was made with, see `wsss_lib.recipes.recipe_of`.
        run: the run.
        name: of the stage that made it, one of `labelling`.
        progress: show progress bars.

    Raises:
        InputError: there is no such network, it is not trained, or its file is damaged.
    """
    if name not in labelling(recipe):
        known = ", ".join(labelling(recipe))
        raise InputError(f"{name!r} makes no network that labels pixels; choose one of: {known}")
    file = run.folder / NETWORK.folder / f"{name}{NETWORK.ending}"
    if not file.is_file():
        begun = run.provenance.get("command", "")
        raise InputError(
            f"{run.folder} has no trained {name} yet: make it with `wsss {name} RECIPE --name "
            f"{run.folder.resolve().name}` and the settings of this run (it was begun by `{begun}`)"
        )
    work = Work(recipe, run, progress).of(name)
    ranks.join()
    names = names_of(name, recipe, run)
    settings = recipe.stages[name].of_network(recipe)
    model = settings.on(settings.bare(recipe), len(names) - 1)
    load_state(file, model)
    weights = digest(model.state_dict())
    return Trained(work, settings, work.ready(model), names, weights)


def names_of(stage: str, recipe: Recipe, run: Run) -> list[str]:
    """The class names that a stage was made with, background first.

    They stand in its mark. Where an older version has not written them there, they are those of the dataset.

    Raises:
        InputError: they are neither here nor there.
    """
    names = run.mark(stage)["shown"].get("names")
    if isinstance(names, list) and names:
        return list(map(str, names))
    root = dataset_of(recipe, run)
    if root is None:
        raise InputError(
            f"{run.folder} does not say which classes {stage} knows, and the dataset {recipe.data.root} is gone: make a "
            f"folder of that name and put the {LABELS} of the dataset into it"
        )
    return class_names(root)


def dataset_of(recipe: Recipe, run: Run) -> Path | None:
    """The dataset of a run, seen from here or from where the run was begun; None if it is gone."""
    starts = [run.provenance, *run.provenance.get("continued", [])]
    places = [Path(), *(Path(start.get("folder", "")) for start in reversed(starts))]
    roots = [place / recipe.data.root for place in places]
    return next((root for root in roots if (root / LABELS).is_file()), None)
