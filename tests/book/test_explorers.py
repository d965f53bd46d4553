"""Explorers: every setting has its picture, links in the browser choose it, and Python does with ipywidgets 7."""

import base64
import io
import re

import ipywidgets
import numpy as np
import pytest
from PIL import Image

from wsss_lib.book import explorers
from wsss_lib.book.explorers import explorer, side_by_side

AXES = {"photo": ["a dog", "a <boat>"], "threshold": [0.1, 0.2, 0.3]}
needs_stack = pytest.mark.skipif(not hasattr(ipywidgets, "Stack"), reason="ipywidgets 7")


def grey(i, j):
    return np.full((20, 30, 3), 100 * i + 20 * j, np.uint8)


@pytest.fixture
def links(monkeypatch):
    """The links that are made, as pairs of a control and a stack."""
    made = []
    monkeypatch.setattr(ipywidgets, "jslink", lambda source, target: made.append((source, target)))
    return made


@pytest.fixture
def version_7(monkeypatch):
    """Hides what ipywidgets 7.7 does not have."""
    monkeypatch.delattr(ipywidgets, "Stack", raising=False)


def decoded(widget):
    """The picture that an HTML widget shows."""
    data = re.search(r'src="data:image/webp;base64,([^"]+)"', widget.value)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def described(widget):
    return re.search(r'alt="([^"]*)"', widget.value)[1]


def levels(box):
    """The pictures below a box: the stack of stacks as nested lists."""
    return [[picture for picture in inner.children] for inner in box.children[-1].children]


@needs_stack
def test_every_setting_has_its_picture():
    for i, row in enumerate(levels(explorer(grey, AXES))):
        for j, widget in enumerate(row):
            assert abs(decoded(widget).mean() - grey(i, j).mean()) < 2
            assert decoded(widget).shape == (20, 30, 3)


@needs_stack
def test_every_control_is_linked_in_the_browser(links):
    photo, threshold, outer = explorer(grey, AXES).children
    assert {target for _, target in links} == {
        (stack, "selected_index") for stack in (outer, *outer.children)
    }
    own = {stack: source for source, (stack, _) in links}
    assert own[outer] == (photo, "index")
    assert all(own[inner] == (threshold, "index") for inner in outer.children)


@needs_stack
def test_it_begins_where_it_is_told():
    photo, threshold, outer = explorer(grey, AXES, start=(1, 2)).children
    assert (photo.index, threshold.index) == (1, 2)
    assert outer.selected_index == 1
    assert {inner.selected_index for inner in outer.children} == {2}


def test_numbers_get_a_slider_from_the_middle_and_texts_a_menu_from_the_first():
    photo, threshold, _ = explorer(grey, AXES).children
    assert isinstance(photo, ipywidgets.Dropdown) and photo.index == 0
    assert isinstance(threshold, ipywidgets.SelectionSlider) and threshold.index == 1
    assert threshold.options == ("0.1", "0.2", "0.3")
    assert (photo.description, threshold.description) == ("photo", "threshold")


def test_a_picture_tells_its_setting_to_those_who_do_not_see_it(version_7):
    widget = explorer(grey, AXES, start=(1, 0)).children[-1]
    assert described(widget) == "photo a &lt;boat&gt;, threshold 0.1"


def test_a_picture_is_shown_larger_but_never_wider_than_the_page(version_7):
    value = explorer(grey, AXES, scale=2).children[-1].value
    assert "width:60px" in value and "max-width:100%" in value and "height:auto" in value


@needs_stack
def test_widgets_are_shared_where_they_can_be():
    """Each layout and style is a widget of its own in the page."""
    row = sum(levels(explorer(grey, AXES)), [])
    assert len({id(widget.layout) for widget in row}) == 1
    assert len({id(widget.style) for widget in row}) == 1


def test_with_ipywidgets_7_python_answers(version_7, links):
    photo, threshold, shown = explorer(grey, AXES, start=(0, 1)).children
    assert isinstance(shown, ipywidgets.HTML) and not links
    assert described(shown) == "photo a dog, threshold 0.2"
    threshold.index = 2
    assert abs(decoded(shown).mean() - grey(0, 2).mean()) < 2
    photo.index = 1
    assert abs(decoded(shown).mean() - grey(1, 2).mean()) < 2
    assert described(shown) == "photo a &lt;boat&gt;, threshold 0.3"


def test_each_picture_is_made_once(version_7):
    made = []
    explorer(lambda i, j: made.append((i, j)) or grey(i, j), AXES)
    assert made == [(i, j) for i in range(2) for j in range(3)]


def test_one_control_is_enough():
    slider, shown = explorer(lambda i: grey(0, i), {"t": [1, 2]}).children
    assert isinstance(slider, ipywidgets.SelectionSlider)
    if hasattr(ipywidgets, "Stack"):
        assert len(shown.children) == 2


def test_colours_survive():
    colours = np.array([[251, 122, 2], [67, 84, 199]], np.uint8)
    picture = np.repeat(np.repeat(colours[None], 32, 0), 32, 1)
    file = io.BytesIO(explorers.webp(picture, explorers.QUALITY))
    seen = np.asarray(Image.open(file).convert("RGB")).astype(int)
    assert np.abs(seen - picture).mean() < 6


def test_the_same_picture_is_the_same_bytes():
    assert explorers.webp(grey(1, 1), 80) == explorers.webp(grey(1, 1), 80)


def test_side_by_side():
    row = side_by_side([grey(0, 0), grey(1, 1), grey(0, 1)], gap=4, colour=7)
    assert row.shape == (20, 98, 3) and row.dtype == np.uint8
    assert (row[:, 30:34] == 7).all() and (row[:, 34:64] == 120).all() and (row[:, 68:] == 20).all()
