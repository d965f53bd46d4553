"""Explorers: pictures made beforehand, and controls that choose among them without a kernel.

A control (its ``index``) is linked in the browser to a `Stack` (its ``selected_index``), so an explorer also works in
the rendered page, where no Python runs. ipywidgets 7, which Colab has, knows no `Stack`: there Python answers to the
control, and a kernel is always at hand.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import numpy as np
from PIL import Image

Array = np.ndarray
QUALITY = 80  # of WebP; a class' colour survives it


def explorer(
    picture: Callable[..., Array],
    axes: Mapping[str, Sequence],
    *,
    start: Sequence[int] | None = None,
    scale: float = 1.0,
    quality: int = QUALITY,
) -> ipywidgets.VBox:
    """Makes all pictures and the controls that choose among them.

    Args:
        picture: takes an index for each axis, in their order; returns uint8 ``(H, W, 3)``.
        axes: the name of each control and the values it can take. Numbers get a slider, text a menu.
        start: the indices to begin with; the middle of a slider and the first of a menu if not given.
        scale: how much larger the page shows a picture than it is.
        quality: of the stored pictures, 1 to 100.
    """
    controls = [control(name, values) for name, values in axes.items()]
    for each, index in zip(controls, start or ()):
        each.index = index
    frames = {}
    for index in itertools.product(*(range(len(values)) for values in axes.values())):
        setting = {each.description: each.options[i] for each, i in zip(controls, index)}
        frames[index] = image_tag(picture(*index), setting, scale, quality)
    shown = (stacked if hasattr(ipywidgets, "Stack") else answering)(frames, controls)
    box = ipywidgets.VBox([*controls, shown])
    box.add_class("explorer")
    return box


def control(name: str, values: Sequence) -> ipywidgets.Widget:
    """A slider over numbers, starting in the middle, or a menu of texts."""
    options = [str(value) for value in values]
    style = {"description_width": "initial"}
    if all(isinstance(value, str) for value in values):
        menu = ipywidgets.Dropdown(options=options, description=name, style=style)
        menu.layout.width, menu.layout.max_width = "max-content", "100%"
        return menu
    slider = ipywidgets.SelectionSlider(options=options, description=name, style=style)
    slider.layout.width = "min(100%, 420px)"
    slider.index = len(options) // 2
    return slider


def stacked(
    frames: Mapping[tuple[int, ...], str], controls: Sequence[ipywidgets.Widget]
) -> ipywidgets.Widget:
    """A stack for the first control, of stacks for the next, of pictures: all of it in the browser."""
    # One layout and one style for all: each would be a widget of its own in the page.
    shared = {"layout": ipywidgets.Layout(max_width="100%")}
    style = ipywidgets.HTML().style

    def level(chosen: tuple[int, ...]) -> ipywidgets.Widget:
        if len(chosen) == len(controls):
            return ipywidgets.HTML(frames[chosen], style=style, **shared)
        own = controls[len(chosen)]
        children = [level((*chosen, index)) for index in range(len(own.options))]
        stack = ipywidgets.Stack(children, selected_index=own.index, **shared)
        ipywidgets.jslink((own, "index"), (stack, "selected_index"))
        return stack

    return level(())


def answering(
    frames: Mapping[tuple[int, ...], str], controls: Sequence[ipywidgets.Widget]
) -> ipywidgets.HTML:
    """One picture that Python exchanges whenever a control moves."""
    shown = ipywidgets.HTML()

    def choose(_: object = None) -> None:
        shown.value = frames[tuple(each.index for each in controls)]

    for each in controls:
        each.observe(choose, "index")
    choose()
    return shown


def image_tag(picture: Array, setting: Mapping[str, str], scale: float, quality: int) -> str:
    """The picture as an ``<img>`` that needs no file; those who do not see it are told the setting."""
    height, width = (round(scale * side) for side in picture.shape[:2])
    data = base64.b64encode(webp(picture, quality)).decode()
    told = html.escape(", ".join(f"{name} {value}" for name, value in setting.items()))
    # Alone on its line, or the browser leaves room for the tails of letters below it.
    look = f"display:block;width:{width}px;max-width:100%;height:auto;aspect-ratio:{width}/{height}"
    return f'<img alt="{told}" style="{look}" src="data:image/webp;base64,{data}">'


def side_by_side(pictures: Sequence[Array], *, gap: int = 4, colour: int = 22) -> Array:
    """Pictures of one height in a row on a dark card, uint8 ``(H, W, 3)``."""
    height = pictures[0].shape[0]
    space = np.full((height, gap, 3), colour, np.uint8)
    parts = [part for each in pictures for part in (space, each)]
    return np.concatenate(parts[1:], axis=1)


def webp(picture: Array, quality: int) -> bytes:
    """The picture as a WebP file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "webp", quality=quality, method=6)
    return file.getvalue()
