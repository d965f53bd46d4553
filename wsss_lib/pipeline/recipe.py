"""A recipe: the photos of a run, the network that it starts from, and its stages, each a field.

A task is a class of recipes: `wsss_lib.recipes.Segmentation` lists the stages from tags to masks.
"""

from __future__ import annotations

import graphlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

from wsss_lib.data.layout import InputError
from wsss_lib.data.limits import refuse_outside
from wsss_lib.learning.backbones import refuse_unknown
from wsss_lib.learning.training import speed
from wsss_lib.pipeline.kinds import Kind
from wsss_lib.pipeline.stage import Stage
from wsss_lib.toy.scene import SIZES


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where the photos are."""

    root: str
    """A folder in the one layout (see README): make it with a script of data_scripts/."""
    train: str = "train"
    """The list of photos whose tags the classifier learns from; one without a tag is a negative of every class."""
    maps: str | None = None
    """The list of photos that get maps, seeds and masks, and that later networks learn from; None: those of ``train``."""
    val: str = "val"
    """The list on which the classifier and the segmentation network are measured."""
    workers: int = speed(0)
    """Processes that read photos ahead of the network that looks at them."""
    draw_seed: int | None = None
    """Draw the embedded dataset with this seed into ``root``, if it is not there yet."""
    draw_photos: tuple[int, int, int] = (600, 300, 100)
    """How many train, val and test photos to draw."""
    draw_size: int = 128
    """Side of the drawn photos, in pixels."""

    def __post_init__(self) -> None:
        refuse_outside(self, "workers draw_seed draw_photos", least=0, whole=True)
        refuse_outside(self, "draw_size", least=SIZES[0], most=SIZES[1], whole=True)
        if not self.root.strip():
            raise ValueError("root must be a folder, but is empty")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every recipe has; its stages are the fields that a task adds."""

    data: Data
    backbone: str = "resnet50"
    """The network that every stage starts from: toy, resnet18, resnet34, resnet50, resnet101, mobilenet_v2, efficientnet_lite0,
    or timm/NAME."""
    weights: str = "default"
    """"default": the published ImageNet weights (or the toy's own); else a file, see `wsss_lib.learning.weights`."""
    seed: int = 0
    """Of every random choice in training."""

    def __post_init__(self) -> None:
        refuse_unknown(self.backbone)
        refuse_outside(self, "seed", least=0, most=2**63 - 1, whole=True)

    @property
    def stages(self) -> dict[str, Stage]:
        """The stages by their names, in the order in which the task lists them."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Stage)}

    def split(self, part: str) -> str:
        """The name of the list of photos that is meant by ``train``, ``maps`` or ``val``."""
        return getattr(self.data, part) or self.data.train

    def making(self, kind: Kind) -> list[str]:
        """The stages that make files of a kind."""
        return [name for name, stage in self.stages.items() if kind in stage.makes]

    def source(self, kind: Kind, name: str) -> str:
        """The stage ``name``, whose files of a kind are read.

        Raises:
            InputError: it makes none, or there is no such stage.
        """
        makers = self.making(kind)
        if name not in makers:
            raise InputError(
                f"{name!r} makes no {kind.folder}: choose a source among {', '.join(makers)}"
            )
        return name

    def in_order(self, targets: Sequence[str]) -> list[str]:
        """The targets and all that they need, each behind what it needs.

        Raises:
            InputError: there is no such stage, or stages need each other in a circle.
        """
        graph, waiting = {}, list(targets)
        while waiting:
            name = waiting.pop()
            if name not in self.stages:
                known = ", ".join(self.stages)
                raise InputError(f"there is no stage {name!r} in this recipe; there are: {known}")
            graph[name] = self.stages[name].needs(self)
            waiting.extend(need for need in graph[name] if need not in graph)
        return list(sorted_by_need(graph, list(self.stages)))


def sorted_by_need(graph: dict[str, Sequence[str]], order: list[str]):
    """Yields the names of a graph, each behind its needs, and else in the order that is given.

    Raises:
        InputError: there is a circle.
    """
    sorter = graphlib.TopologicalSorter(graph)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise InputError(
            f"stages need each other in a circle: {', '.join(error.args[1])}"
        ) from None
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=order.index)
        name = ready.pop(0)
        yield name
        sorter.done(name)
