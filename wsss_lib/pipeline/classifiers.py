"""Classifiers that are only used: a run's own, or any trained network of torchvision or timm."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from wsss_lib.data.augmentation import MEAN, STD
from wsss_lib.data.layout import InputError, lines_of
from wsss_lib.data.limits import known
from wsss_lib.learning.any_classifier import named_head, taken_apart
from wsss_lib.learning.architectures import NAMES, architecture, efficientnet_lite0, lite0_weights
from wsss_lib.learning.backbones import Backbone, backbone, set_output_stride
from wsss_lib.learning.storage import load_state, read_state
from wsss_lib.learning.timm_networks import PREFIX, refuse_unknown_model, timm, timm_weights
from wsss_lib.learning.weights import LITE0_STEM, downloaded, load_from
from wsss_lib.methods.cam import Classifier
from wsss_lib.pipeline import ranks
from wsss_lib.pipeline.kinds import NETWORK
from wsss_lib.pipeline.recipe import Recipe
from wsss_lib.pipeline.runs import Run
from wsss_lib.pipeline.trained import names_of

MANY = 8  # names of a network that are near to one that there is not


@dataclass(frozen=True)
class Used:
    """A trained classifier, and what must be known to use it.

    Attributes:
        model: with the interface of `wsss_lib.methods.cam.Classifier`, in evaluation mode.
        names: of its classes; None: they are counted.
        mean: what is subtracted of each channel of a photo in [0, 1].
        std: by what that is divided.
        softmax: one class is right, and not any number of them.
    """

    model: nn.Module
    names: list[str] | None
    mean: Sequence[float] = MEAN
    std: Sequence[float] = STD
    softmax: bool = True

    def seen(self, image_BCHW: Tensor) -> Tensor:
        """Photos, uint8, as the network expects them."""
        weight = next(self.model.parameters())
        mean_C11, std_C11 = (torch.tensor(each)[:, None, None] for each in (self.mean, self.std))
        return image_BCHW.float().sub_(255 * mean_C11).div_(255 * std_C11).to(weight)

    def name(self, label: int) -> str:
        """A class by its number."""
        return self.names[label] if self.names else str(label)

    def number(self, name: str) -> int:
        """A class by its name or its number.

        Raises:
            InputError: there is no such class.
        """
        classes = self.model.head.weight.shape[0]
        if name.isdigit() and int(name) < classes:
            return int(name)
        if not self.names:
            raise InputError(
                f"the classes of this network have no names: give a number from 0 to {classes - 1}, or --labels FILE"
            )
        exact = [
            label for label, each in enumerate(self.names) if each.casefold() == name.casefold()
        ]
        if exact:
            return exact[0]
        inside = [each for each in self.names if name.casefold() in each.casefold()]
        alike = difflib.get_close_matches(name, self.names, n=MANY)
        near = list(dict.fromkeys([*inside, *alike]))[:MANY]
        words = (
            f"; do you mean one of: {', '.join(near)}?"
            if near
            else f": it knows {', '.join(self.names[:MANY])} and others"
        )
        raise InputError(f"this network has no class {name!r}{words}")


def used(
    network: str,
    weights: Path | None = None,
    labels: Path | None = None,
    output_stride: int | None = None,
) -> Used:
    """Opens a trained classifier of torchvision or timm.

    Args:
        network: its name; of timm with ``timm/`` before it.
        weights: a file; None: the published weights, which are downloaded once.
        labels: a file of class names, one a line.
        output_stride: pixels from one cell of its features to the next, if another than its own; for the networks that can
            be backbones.

    Raises:
        InputError: there is no such network, its weights cannot be had or are others, or it has no class activation maps.
    """
    build, published, names, seen = (
        published_timm(network) if network.startswith(PREFIX) else published_torchvision(network)
    )
    net = loaded(build, weights or published(), network)
    if output_stride is not None:
        known(network, NAMES[1:], "network whose output stride can be chosen")
        set_output_stride(Backbone(*architecture(network).stages(net)), output_stride, dilated=True)
    model = taken_apart(net, network)
    classes = model.head.weight.shape[0]
    if labels is not None:
        names = lines_of(labels, "write the class names into it, one a line")
    if names is not None and len(names) != classes:
        if labels is not None:
            raise InputError(
                f"{labels} holds {len(names)} names, but the network has {classes} classes"
            )
        names = None  # another head than the published one
    return Used(model.to(ranks.device()), names, *seen)


def loaded(build: Callable[..., nn.Module], file: Path, network: str) -> nn.Module:
    """A network with the weights of a file, and as many classes as these have.

    Raises:
        InputError: they are those of another network, or of features alone.
    """
    net, state = build(), read_state(file)
    if LITE0_STEM in state:
        load_from(state, file, net, net)
        return net
    head = named_head(net, network)
    last = [value for name, value in state.items() if f".{name}".endswith(f".{head}.weight")]
    if not last:
        raise InputError(
            f"{file} has no last layer ({head}.weight), so it knows no classes: give the file of a whole classifier",
            file,
        )
    if last[0].shape[0] != net.get_submodule(head).weight.shape[0]:
        net = build(num_classes=last[0].shape[0])
    load_from(state, file, net, net)
    return net


Published = tuple[Callable[..., nn.Module], Callable[[], Path], list[str] | None, tuple]


def published_torchvision(network: str) -> Published:
    """How to build a network of torchvision, its weights, its classes, and how it sees photos."""
    if network == "efficientnet_lite0":
        categories = models.MobileNet_V2_Weights.DEFAULT.meta["categories"]
        return efficientnet_lite0, lite0_weights, categories, ()
    there = [
        name
        for name in models.list_models(module=models)
        if hasattr(models.get_model_weights(name), "DEFAULT")
    ]
    known(network, [*there, "efficientnet_lite0"], "network")
    weights = models.get_model_weights(network).DEFAULT
    seen = weights.transforms()
    more = {}
    if network in ("googlenet", "inception_v3"):  # their weights expect photos of another scale
        more = {"init_weights": False, "transform_input": True}
    build = partial(models.get_model, network, **more)
    return (
        build,
        partial(downloaded, weights.url),
        weights.meta["categories"],
        (seen.mean, seen.std),
    )


def published_timm(network: str) -> Published:
    """How to build a network of timm with its published weights, its classes, and how it sees photos."""
    name = network.removeprefix(PREFIX)
    refuse_unknown_model(name)
    config = timm().get_pretrained_cfg(name) if timm().is_model_pretrained(name) else None
    seen = (config.mean, config.std) if config else ()
    return partial(timm().create_model, name), partial(timm_weights, name), None, seen


def of_run(recipe: Recipe, run: Run) -> Used:
    """The classifier of a run, at the output stride of its maps; the dataset need not be there.

    Raises:
        InputError: it is not trained.
    """
    settings, grid = recipe.classifier, recipe.cam
    file = run.folder / NETWORK.folder / f"classifier{NETWORK.ending}"
    if not file.is_file():
        raise InputError(f"{run.folder} has no trained classifier yet")
    names = names_of("classifier", recipe, run)[1:]
    chain = backbone(
        settings.backbone or recipe.backbone, output_stride=grid.output_stride, dilated=grid.dilated
    )
    model = Classifier(chain, len(names))
    load_state(file, model)
    return Used(model.eval().to(ranks.device()), names, softmax=False)
