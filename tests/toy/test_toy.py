"""The drawn dataset: the same for one seed, consistent with itself, and as hard as it promises."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsss_lib import toy
from wsss_lib.data import annotations, layout
from wsss_lib.data.layout import VOID, InputError
from wsss_lib.toy import NAMES, draw
from wsss_lib.toy.auxiliary import CLASSES, COLOUR_DISTANCE, VIEWS, auxiliary_class, draw_auxiliary
from wsss_lib.toy.distances import blend, box, capsule, circle, ellipse, polygon
from wsss_lib.toy.objects import LOOKS
from wsss_lib.toy.paint import WAVES, Canvas, pattern
from wsss_lib.toy.scene import MIN_VISIBLE, annotate
from wsss_lib.toy.shapes import SHAPES


@pytest.fixture(scope="module")
def scenes():
    return [draw(0, "train", index) for index in range(300)]


def grid(side=2.0, count=201):
    axis = np.linspace(-side, side, count, dtype=np.float32)
    return np.meshgrid(axis, axis)


# ------------------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize(
    ("distance", "area"),
    [
        (lambda x, y: circle(x, y, 0.2, -0.1, 0.7), np.pi * 0.49),
        (lambda x, y: ellipse(x, y, 0.1, 0.2, 0.9, 0.4, 0.5), np.pi * 0.36),
        (
            lambda x, y: capsule(x, y, (-0.5, -0.3), (0.4, 0.6), 0.3),
            2 * 0.3 * np.hypot(0.9, 0.9) + np.pi * 0.09,
        ),
        (lambda x, y: box(x, y, 0.1, 0.0, 0.8, 0.5, angle=0.7), 4 * 0.8 * 0.5),
        (lambda x, y: polygon(x, y, (0, -1), (1, 1), (-1, 1)), 2.0),
    ],
)
def test_a_distance_is_negative_inside_and_has_unit_slope_on_the_edge(distance, area):
    x, y = grid()
    values = distance(x, y)
    cell = (x[0, 1] - x[0, 0]) ** 2
    assert (values < 0).sum() * cell == pytest.approx(area, rel=0.02)
    slope = np.hypot(*np.gradient(values, x[0, 1] - x[0, 0]))
    assert np.median(slope[np.abs(values) < 0.03]) == pytest.approx(1, abs=0.05)


def test_a_fillet_only_adds():
    x, y = grid()
    parts = circle(x, y, -0.4, 0, 0.5), circle(x, y, 0.4, 0, 0.5)
    assert (blend(*parts) <= np.minimum(*parts) + 1e-6).all()
    assert (blend(*parts) < np.minimum(*parts) - 1e-3).any()


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_silhouette_has_a_body_and_a_smaller_head_within_its_window(name):
    x, y = grid(0.85)
    shape = SHAPES[name](x, y, 1.15)
    whole = np.minimum(shape.body, shape.head) < 0
    head = shape.head < 0
    assert 0.08 < head.sum() / whole.sum() < 0.5
    assert not whole[np.hypot(x, y) > 0.8].any()  # the window that an object is painted in
    assert np.ptp(x[whole]) > 0.8


@pytest.mark.parametrize("kind", WAVES)
def test_a_pattern_shows_both_colours(kind):
    x, y = grid(40, 160)
    share = pattern(kind, x, y, 6.0)
    assert share.min() == 0 and share.max() == 1
    assert 0.25 < share.mean() < 0.75


def test_coverage_is_anti_aliased():
    canvas = Canvas.blank(32)
    coverage = canvas.coverage(circle(canvas.x, canvas.y, 16, 16, 9.3))
    assert coverage.sum() == pytest.approx(np.pi * 9.3**2, rel=0.01)
    assert ((coverage > 0) & (coverage < 1)).sum() > 30


# ------------------------------------------------------------------------------------------ scenes


def test_one_seed_gives_one_picture_and_another_seed_another():
    first, again, other = draw(3, "val", 5), draw(3, "val", 5), draw(4, "val", 5)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.mask.tobytes() == again.mask.tobytes() and first.boxes == again.boxes
    pictures = [first, other, draw(3, "train", 5), draw(3, "val", 6)]
    assert len({scene.image.tobytes() for scene in pictures}) == 4


def test_image_mask_and_maps_have_their_types_and_values(scenes):
    for scene in scenes:
        assert scene.image.shape == (128, 128, 3) and scene.image.dtype == np.uint8
        for plane, values in (
            (scene.mask, [*range(9), VOID]),
            (scene.part, range(3)),
            (scene.scenery, range(3)),
        ):
            assert plane.shape == (128, 128) and plane.dtype == np.uint8
            assert np.isin(plane, list(values)).all()
        assert ((scene.mask > 0) == (scene.part > 0)).all()
        assert (scene.scenery[scene.part > 0] == 0).all()


def test_tags_are_the_classes_that_can_be_seen(scenes):
    for scene in scenes:
        counts = np.bincount(scene.mask.ravel(), minlength=256)
        assert scene.tags == tuple(NAMES[k] for k in range(1, 9) if counts[k])
        assert all(counts[k] >= MIN_VISIBLE for k in range(1, 9) if counts[k])
        assert {name for name, _ in scene.boxes} == set(scene.tags)


def test_a_class_with_few_visible_pixels_is_void_without_tag_and_box():
    owner = np.zeros((20, 20), np.uint8)
    owner[:2, :19] = 1  # 38 pixels of a cat
    owner[10:15, 3:12] = 2  # 45 of a bus
    mask, tags, boxes = annotate(owner, ["cat", "bus"], MIN_VISIBLE)
    assert tags == ("bus",) and boxes == (("bus", (4, 11, 12, 15)),)
    assert (mask[owner == 1] == VOID).all() and (mask[owner == 2] == NAMES.index("bus")).all()
    owner[5, :2] = 1
    assert annotate(owner, ["cat", "bus"], MIN_VISIBLE)[1] == ("cat", "bus")


def test_boxes_enclose_the_mask_tightly(scenes):
    for scene in scenes:
        for name in scene.tags:
            inside = np.zeros((128, 128), bool)
            mine = scene.mask == NAMES.index(name)
            for xmin, ymin, xmax, ymax in [
                corners for other, corners in scene.boxes if other == name
            ]:
                assert 1 <= xmin <= xmax <= 128 and 1 <= ymin <= ymax <= 128
                inside[ymin - 1 : ymax, xmin - 1 : xmax] = True
                edges = mine[ymin - 1, xmin - 1 : xmax], mine[ymax - 1, xmin - 1 : xmax]
                assert all(edge.any() for edge in edges)
            assert not (mine & ~inside).any()


def test_the_statistics_are_those_of_the_design(scenes):
    share = np.mean([(scene.mask > 0).mean() for scene in scenes])
    assert 0.15 < share < 0.27
    assert 1.3 < np.mean([len(scene.tags) for scene in scenes]) < 1.6
    counts = [sum(name in scene.tags for scene in scenes) for name in NAMES[1:]]
    assert min(counts) > 25 and max(counts) < 90


def test_most_heads_show_their_pattern(scenes):
    alone = [scene for scene in scenes if len(scene.boxes) == 1]
    visible = np.mean([(scene.part == 2).sum() >= 4 for scene in alone])
    assert len(alone) > 110 and 0.68 < visible < 0.88  # 0.8, less the heads beyond the edge


def test_boats_come_with_water_and_trains_with_rails(scenes):
    for code, name in ((1, "boat"), (2, "train")):
        with_class = [(scene.scenery == code).any() for scene in scenes if name in scene.tags]
        without = [(scene.scenery == code).any() for scene in scenes if name not in scene.tags]
        assert np.mean(with_class) > 0.8 and np.mean(without) < 0.07


def test_bodies_resemble_each_other_and_heads_do_not():
    pairs = [("cat", "dog"), ("cow", "horse"), ("bus", "car")]
    for a, b in pairs:
        assert abs(LOOKS[a].hue - LOOKS[b].hue) < LOOKS[a].hue_spread
        assert np.abs(np.subtract(LOOKS[a].colours, LOOKS[b].colours)).sum() > COLOUR_DISTANCE


@pytest.mark.parametrize("classes", [2, 5, 8])
def test_only_the_classes_asked_for_appear(classes):
    seen = {name for index in range(60) for name in draw(1, "train", index, classes=classes).tags}
    assert seen == set(NAMES[1 : classes + 1])


@pytest.mark.parametrize("size", [48, 96, 200])
def test_another_size_shows_the_same_arrangement(size):
    small, standard = draw(0, "train", 7, size=size), draw(0, "train", 7)
    assert small.image.shape == (size, size, 3)
    resized = Image.fromarray(standard.mask).resize((size, size), Image.Resampling.NEAREST)
    assert (np.asarray(resized) == small.mask).mean() > 0.97


@pytest.mark.parametrize("options", [{"classes": 1}, {"classes": 9}, {"size": 31}, {"size": 257}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="ask for"):
        draw(0, "train", 0, **options)


# ------------------------------------------------------------------------------------------- files


def contents(root):
    return {
        file.relative_to(root).as_posix(): file.read_bytes()
        for file in root.rglob("*")
        if file.is_file()
    }


SMALL = dict(train=4, val=3, test=2, progress=False)


def test_the_layout_is_complete_and_reads_back(tmp_path):
    root = tmp_path / "toy"
    assert toy.write(root, **SMALL)
    assert layout.class_names(root) == list(NAMES)
    for split, count in (("train", 4), ("val", 3), ("test", 2)):
        ids = layout.split_ids(root, split)
        assert len(ids) == count
        for index, id in enumerate(ids):
            scene = draw(0, split, index)
            mask = Image.open(root / layout.MASKS / f"{id}.png")
            assert mask.mode == "P" and (np.asarray(mask) == scene.mask).all()
            photo = np.asarray(layout.read_photo(root / layout.PHOTOS / f"{id}.jpg")).astype(float)
            assert np.abs(photo - scene.image).mean() < 4
            assert annotations.boxes(root, id) == list(scene.boxes)
            assert (toy.redraw(root, id).part == scene.part).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy"]


def test_one_seed_writes_identical_bytes(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        toy.write(tmp_path / name, seed=seed, **SMALL)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != contents(tmp_path / "c")


def test_writing_again_does_nothing_and_other_options_are_refused(tmp_path):
    (tmp_path / "toy").mkdir()  # an empty folder is as good as none
    assert toy.write(tmp_path / "toy", **SMALL)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "toy").rglob("*")}
    assert not toy.write(tmp_path / "toy", **SMALL)
    with pytest.raises(InputError, match="something else"):
        toy.write(tmp_path / "toy", seed=5, **SMALL)
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "toy").rglob("*")}


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="delete it or name another folder"):
        toy.write(tmp_path, **SMALL)
    assert contents(tmp_path) == {"precious.txt": b"mine"}


def test_an_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(annotations, "write_annotation", fail)
    with pytest.raises(OSError, match="No space"):
        toy.write(tmp_path / "toy", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_drawn_by_this_version_is_drawn_again(tmp_path):
    toy.write(tmp_path / "toy", **SMALL)
    options = json.loads((tmp_path / "toy" / toy.OPTIONS).read_text())
    (tmp_path / "toy" / toy.OPTIONS).write_text(json.dumps(options | {"drawing_version": 0}))
    for root in (tmp_path / "toy", tmp_path):
        with pytest.raises(InputError, match="make_toy.py"):
            toy.redraw(root, "train_0000")


def test_the_script_draws_once_and_refuses_other_options(tmp_path, capsys):
    script = runpy.run_path(str(Path(__file__).parents[2] / "data_scripts" / "make_toy.py"))
    words = f"{tmp_path / 'toy'} --train 2 --val 1 --test 0 --size 32".split()
    for answer in ("is ready", "nothing to do"):
        script["main"](words)
        assert answer in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        script["main"]([*words, "--classes", "3"])
    error = capsys.readouterr().err
    assert (
        stop.value.code == 2
        and error.startswith(f"make_toy: {tmp_path}")
        and "Traceback" not in error
    )


# --------------------------------------------------------------------------------------- auxiliary


def test_auxiliary_photos_are_reproducible_and_of_all_kinds():
    photos = [draw_auxiliary(index) for index in range(300)]
    assert photos[0].image.tobytes() == draw_auxiliary(0).image.tobytes()
    assert photos[0].image.shape == (96, 96, 3)
    assert {photo.label for photo in photos} == set(range(CLASSES))
    for view, probability in VIEWS.items():
        assert np.mean([photo.view == view for photo in photos]) == pytest.approx(
            probability, abs=0.09
        )


def test_no_auxiliary_class_has_the_head_colours_of_a_toy_class():
    for label in range(CLASSES):
        pair = np.array(auxiliary_class(label).look.colours)
        for look in LOOKS.values():
            for candidate in (pair, pair[::-1]):
                assert np.abs(candidate - look.colours).sum() >= COLOUR_DISTANCE
