"""Pictures and figures: the right colours, on any ground, for everybody."""

import html
import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from wsss_lib.data.layout import VOID, voc_palette
from wsss_lib.pipeline import plots
from wsss_lib.recipes import toy

# Linear RGB as seen without one kind of cone: Machado, Oliveira & Fernandes (2009), severity 1.
VISION = {
    "all cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def rgb(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def linear(srgb):
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def oklab(linear_rgb):
    """Perceived lightness and hue (Ottosson, 2020): equal distances look about equally far apart."""
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(to_lab) @ np.cbrt(np.array(to_cones) @ linear_rgb.clip(0, 1))


def contrast(a, b):
    """Contrast ratio of WCAG 2."""
    light = [linear(rgb(colour)) @ [0.2126, 0.7152, 0.0722] + 0.05 for colour in (a, b)]
    return max(light) / min(light)


@pytest.mark.parametrize("vision", VISION)
def test_classes_stay_apart_for_every_eye(vision):
    grounds = (plots.BACKGROUND_COLOUR, plots.VOID_COLOUR)
    seen = [
        oklab(np.array(VISION[vision]) @ linear(rgb(colour)))
        for colour in (*plots.CLASS_COLOURS, *grounds)
    ]
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert nearest > 0.12  # the much used palette of Okabe and Ito with grey has 0.02


@pytest.mark.parametrize("vision", VISION)
def test_methods_stay_apart_for_every_eye(vision):
    seen = [oklab(np.array(VISION[vision]) @ linear(rgb(colour))) for colour, _ in plots.LINES]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.1
    assert len({str(dashes) for _, dashes in plots.LINES}) == len(plots.LINES)


def test_stages_bring_lines_that_stay_apart():
    lines = [stage.line for stage in toy().stages.values() if stage.line]
    assert len(lines) == 3 and set(lines) <= set(plots.LINES)


@pytest.mark.parametrize("ground", ["#ffffff", "#16181d"])
def test_inks_can_be_read_on_light_and_dark(ground):
    assert contrast(plots.INK, ground) > 3.9
    for colour, _ in plots.LINES:
        assert contrast(colour, ground) > 3  # WCAG 2, for what is not text


def test_a_class_keeps_its_colour():
    few, many = plots.palette(4), plots.palette(9)
    assert np.array_equal(few[:9], many[:9])
    assert len(np.unique(many[:9], axis=0)) == 9
    assert many[1].tolist() == [0xFB, 0x7A, 0x02]


def test_more_classes_than_colours_get_those_of_voc():
    colours = plots.palette(21)
    assert np.array_equal(colours[1:21], voc_palette()[1:21])
    assert len(np.unique(colours[:21], axis=0)) == 21


def test_colour_mask_gives_each_label_its_colour():
    colours = plots.palette(9)
    mask = torch.tensor([[0, 1], [8, VOID]], dtype=torch.uint8)
    expected = [[colours[0], colours[1]], [colours[8], colours[VOID]]]
    assert np.array_equal(plots.colour_mask(mask, colours), expected)


def test_overlay_colours_classes_and_leaves_the_background():
    image = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[0, 1], [2, VOID]])
    colours = plots.palette(3)
    bare = plots.overlay(image, mask * 0, colours)
    whole = plots.overlay(image, mask, colours, strength=1)
    assert np.array_equal(whole[0, 0], bare[0, 0])
    assert np.array_equal(whole[0, 1], colours[1])
    assert np.array_equal(whole[1, 0], colours[2])
    assert np.array_equal(whole[1, 1], colours[VOID])


def test_overlay_map_shows_the_strongest_class_as_strong_as_it_is():
    image = torch.full((3, 1, 3), 100, dtype=torch.uint8)
    maps = torch.tensor([[[0.0, 1.0, 0.2]], [[0.0, 0.5, 0.6]]])
    colours = plots.palette(9)
    seen = plots.overlay_map(image, maps, torch.tensor([6, 2]), colours, strength=1)
    grey = plots.faded(image)[0, 0]
    assert np.array_equal(seen[0, 0], grey.astype(np.uint8))
    assert np.array_equal(seen[0, 1], colours[7])
    assert np.allclose(seen[0, 2], 0.4 * grey + 0.6 * colours[3], atol=0.5)


def test_a_photo_without_classes_has_a_bare_overlay():
    image = torch.full((3, 4, 5), 100, dtype=torch.uint8)
    seen = plots.overlay_map(image, torch.zeros(0, 4, 5), [], plots.palette(9))
    assert np.array_equal(seen, plots.faded(image).astype(np.uint8))


def test_a_photo_in_the_wrong_form_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        plots.picture(torch.zeros(3, 4, 5))


def test_heat_is_lighter_where_the_map_is_higher():
    seen = plots.heat(torch.linspace(0, 1, 11)[None])
    assert seen.shape == (1, 11, 3) and seen.dtype == np.uint8
    lightness = [oklab(linear(pixel / 255))[0] for pixel in seen[0]]
    assert np.all(np.diff(lightness) > 0)


def test_threshold_curves_draws_every_method_and_marks_its_threshold():
    curve = [(t / 10, 0.05 * t if t != 3 else None) for t in range(11)]
    figure = plots.threshold_curves({"CAM": curve, "mine": curve}, chosen={"CAM": 0.52})
    lines = figure.axes[0].get_lines()
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["CAM", "mine"]
    assert np.isnan(lines[0].get_ydata()[3]) and lines[0].get_ydata()[10] == 50
    assert lines[1].get_xdata() == [0.5] and lines[1].get_ydata() == [25]


def test_threshold_curves_takes_the_lines_of_the_stages_also_from_json():
    curve = [(0, 0.1), (1, 0.2)]
    look = ["#e06c1c", [0, [5, 2]]]
    figures = [
        plots.threshold_curves({"AdvCAM": curve}, lines={"AdvCAM": line})
        for line in (look, (look[0], (0, (5, 2))))
    ]
    assert plots.svg(figures[0]) == plots.svg(figures[1])
    assert figures[0].axes[0].get_lines()[0].get_color() == "#e06c1c"


@pytest.mark.parametrize(
    "look",
    [
        None,
        5,
        "#e06c1c",
        ["#e06c1c"],
        ["no colour", "solid"],
        [5, "solid"],
        ["#e06c1c", "zigzag"],
        ["#e06c1c", None],
        ["#e06c1c", [0, [0, 0]]],
        ["#e06c1c", [0, ["a", 1]]],
        ["#e06c1c", [float("nan"), [1, 1]]],
    ],
)
def test_what_is_no_line_is_as_if_there_were_none(look):
    assert plots.as_line(look) is None
    curve = [(0, 0.1), (1, 0.2)]
    figure = plots.threshold_curves({"mine": curve}, lines={"mine": look})
    assert plots.svg(figure) == plots.svg(plots.threshold_curves({"mine": curve}))


def test_a_curve_without_a_line_is_like_no_other():
    curve = [(0, 0.1), (1, 0.2)]
    lines = {stage.title: stage.line for stage in toy().stages.values() if stage.line}
    names = [*(f"mine {number}" for number in range(20)), *lines]
    figure = plots.threshold_curves({name: curve for name in names}, lines=lines)
    drawn = re.findall(
        r'clip-path="url[^"]*" style="([^"]*stroke: (#\w+)[^"]*)"', plots.svg(figure)
    )
    looks = [(colour, style) for style, colour in drawn]
    assert len(set(looks)) == len(names) == 23
    taken = {colour for colour, _ in lines.values()}
    assert not taken & {colour for colour, _ in looks[:2]}  # as long as there are other colours


@pytest.mark.parametrize("name", ["5 $ or $6", "$\\frac", "_hidden", "<b>&"])
def test_a_name_is_written_as_it_is(name):
    text = plots.svg(plots.threshold_curves({name: [(0, 0.1), (1, 0.2)]}))
    assert re.search(rf"> ?{re.escape(html.escape(name, quote=False))}</text>", text)


def test_long_names_leave_room_for_the_curves():
    names = [f"{number} a rather long name" for number in range(4)]
    figure = plots.threshold_curves({name: [(0, 0.1), (1, 0.2)] for name in names})
    figure.draw_without_rendering()
    ax = figure.axes[0]
    assert ax.get_position().width > 0.8
    legend = ax.get_legend().get_window_extent()
    assert legend.x1 < figure.bbox.x1 and legend.y1 < figure.bbox.y1


def test_threshold_curves_draws_into_given_axes():
    ax = Figure().subplots()
    assert plots.threshold_curves({"amn": [(0, 0.1), (1, 0.2)]}, ax=ax) is ax.figure


def test_example_grid_leaves_gaps_empty():
    photo = np.zeros((4, 6, 3), np.uint8)
    rows = [[photo, None], [photo, photo]]
    figure = plots.example_grid(rows, ["photo", "CAM"], ["a", "b"])
    assert [len(ax.get_images()) for ax in figure.axes] == [1, 0, 1, 1]
    assert [ax.get_title() for ax in figure.axes] == ["photo", "CAM", "", ""]


def test_svg_takes_the_colour_of_the_text_around_it_and_repeats():
    curve = [(0, 0.1), (1, 0.2)]
    text = plots.svg(plots.threshold_curves({"amn": curve}))
    assert text.startswith("<svg") and text.endswith("</svg>")
    assert "currentColor" in text and plots.INK not in text
    assert "background threshold" in text
    assert text == plots.svg(plots.threshold_curves({"amn": curve}))


def test_importing_plots_leaves_pyplot_alone():
    code = "import sys, wsss_lib.pipeline.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
