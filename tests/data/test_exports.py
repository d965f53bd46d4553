"""Masks in the formats of other tools, read back as those tools read them."""

import ast
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data import layout
from wsss_lib.data.exports import coco, label_studio, mmseg, voc
from wsss_lib.data.exports.components import components
from wsss_lib.data.exports.masked import Masked, of_dataset, of_predictions
from wsss_lib.data.layout import MASKS, PHOTOS, VOID, InputError
from wsss_lib.data.photos import Photos


def flooded(mask_HW):
    """Connected components, pixel by pixel from a stack."""
    component_HW, count = np.zeros(mask_HW.shape, dtype=int), 0
    for start in zip(*mask_HW.nonzero()):
        if component_HW[start]:
            continue
        count += 1
        stack = [start]
        while stack:
            y, x = stack.pop()
            inside = 0 <= y < mask_HW.shape[0] and 0 <= x < mask_HW.shape[1]
            if inside and mask_HW[y, x] and not component_HW[y, x]:
                component_HW[y, x] = count
                stack += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return component_HW, count


SPIRAL = np.array(
    [
        [1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 1, 0, 1],
        [1, 0, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ],
    dtype=bool,
)


@pytest.mark.parametrize("number", range(40))
def test_components_are_those_of_a_flood(number):
    rng = np.random.default_rng(number)
    shape = rng.integers(1, 24, 2)
    mask_HW = rng.random(shape) < rng.choice([0.1, 0.3, 0.5, 0.8])
    found_HW, count = components(mask_HW)
    expected_HW, expected = flooded(mask_HW)
    assert count == expected and np.array_equal(found_HW, expected_HW)


@pytest.mark.parametrize(
    "mask_HW",
    [SPIRAL, SPIRAL.T, ~SPIRAL, SPIRAL[:, ::-1], np.ones((5, 3), bool), np.zeros((3, 5), bool)],
)
def test_components_of_winding_shapes(mask_HW):
    found_HW, count = components(mask_HW)
    expected_HW, expected = flooded(mask_HW)
    assert count == expected and np.array_equal(found_HW, expected_HW)


def unpacked(code: list[int]) -> np.ndarray:
    """The values of a packed run-length code, bit by bit as its documentation says."""
    bits, place = "".join(f"{byte:08b}" for byte in code), 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    total = read(32)
    width = read(5) + 1
    counts = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        repeated = read(1)
        length = read(counts[read(2)]) + 1
        values += [read(width)] * length if repeated else [read(width) for _ in range(length)]
    assert len(values) == total and len(bits) - place < 8
    return np.array(values, dtype=np.uint8)


@pytest.mark.parametrize("number", range(30))
def test_a_brush_mask_is_unpacked_as_it_was(number):
    rng = np.random.default_rng(number)
    mask_HW = rng.random(rng.integers(1, 40, 2)) < rng.choice([0.02, 0.5, 0.97])
    values_HW4 = unpacked(label_studio.brush_rle(mask_HW)).reshape(*mask_HW.shape, 4)
    assert np.array_equal(values_HW4, np.repeat(255 * mask_HW[..., None], 4, axis=2))


@pytest.mark.parametrize("shape", [(1, 1), (128, 128), (128, 129), (300, 301)])
@pytest.mark.parametrize("value", [False, True])
def test_runs_longer_than_a_count_reaches_are_cut(shape, value):
    """128 x 128 pixels are 65536 values, the most of one run."""
    values = unpacked(label_studio.brush_rle(np.full(shape, value)))
    assert values.size == 4 * shape[0] * shape[1] and (values == 255 * value).all()


def test_a_code_begins_as_the_brush_itself_begins_one():
    """A photo of 3332 x 2527 pixels whose mask begins with a long run."""
    code = label_studio.brush_rle(np.zeros((2527, 3332), dtype=bool))
    assert code[:8] == [2, 1, 233, 240, 57, 27, 255, 255]


@pytest.fixture
def masked(tiny_root, tmp_path) -> Masked:
    """The photos of train with masks of noise, in which a part is void."""
    folder = tmp_path / "noise"
    folder.mkdir()
    photos = Photos(tiny_root, "train")
    for number, id in enumerate(photos.ids):
        rng = np.random.default_rng(number)
        coarse = rng.choice([0, 0, 1, 2, 3, VOID], (7, 9)).astype(np.uint8)
        size = photos.sizes[number]
        label_HW = np.array(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.NEAREST))
        layout.write_mask(folder / f"{id}.png", label_HW)
    return of_dataset(folder, tiny_root, progress=False)


def new(tmp_path: Path) -> Path:
    (tmp_path / "new").mkdir()
    return tmp_path / "new"


@pytest.mark.parametrize("whole", [False, True])
def test_coco_is_read_back_by_its_own_library(masked, tmp_path, whole):
    api = pytest.importorskip("pycocotools.coco")
    to = new(tmp_path)
    said = coco.write(masked, to, whole=whole)
    data = api.COCO(str(to / "annotations.json"))
    assert [each["name"] for each in data.loadCats(data.getCatIds())] == masked.names[1:]
    assert data.getCatIds() == [1, 2, 3]
    void = 0
    for image in data.loadImgs(data.getImgIds()):
        label_HW = layout.read_labels(masked.masks[image["file_name"].removesuffix(".jpg")])
        void += (label_HW == VOID).sum()
        assert (image["height"], image["width"]) == label_HW.shape
        found_HW = np.zeros_like(label_HW)
        parts = data.loadAnns(data.getAnnIds(imgIds=image["id"]))
        for part in parts:
            mask_HW = data.annToMask(part).astype(bool)
            y, x = mask_HW.nonzero()
            box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
            assert part["area"] == mask_HW.sum() and part["bbox"] == box and part["iscrowd"] == 0
            assert whole or flooded(mask_HW)[1] == 1
            assert not found_HW[mask_HW].any()
            found_HW[mask_HW] = part["category_id"]
        assert np.array_equal(found_HW, np.where(label_HW == VOID, 0, label_HW))
        classes = set(np.unique(found_HW)) - {0}
        expected = len(classes) if whole else sum(flooded(found_HW == k)[1] for k in classes)
        assert len(parts) == expected
    assert len(data.getImgIds()) == 8
    assert any(f"{void} pixels" in line for line in said) and void


def test_coco_photos_are_named_where_they_are_or_copied(masked, tmp_path):
    pytest.importorskip("pycocotools")
    to = new(tmp_path)
    said = coco.write(masked, to, photos=True)
    content = json.loads((to / "annotations.json").read_text())
    for image in content["images"]:
        with Image.open(to / "images" / image["file_name"]) as photo:
            assert photo.size == (image["width"], image["height"])
    assert not any("below" in line for line in said)


def test_label_studio_gets_tasks_with_regions(masked, tmp_path):
    to = new(tmp_path)
    masked = replace(masked, names=["background", "apple", 'a "b" & <c>', "plüm"])
    said = label_studio.write(masked, to, tmp_path / "final")
    tasks = json.loads((to / "tasks.json").read_text(encoding="utf-8"))
    config = ET.parse(to / "config.xml").getroot()
    brush, image = config.find("BrushLabels"), config.find("Image")
    assert [each.get("value") for each in brush.findall("Label")] == masked.names[1:]
    assert image.get("value") == "$image" and brush.get("toName") == image.get("name")
    for task, (id, label_HW) in zip(tasks, masked.labels(), strict=True):
        address = urlsplit(task["data"]["image"])
        assert address.path == "/data/local-files/"
        assert parse_qs(address.query)["d"] == [f"{PHOTOS}/{id}.jpg"]
        (prediction,) = task["predictions"]
        found_HW = np.zeros_like(label_HW)
        for region in prediction["result"]:
            assert (region["from_name"], region["to_name"]) == (
                brush.get("name"),
                image.get("name"),
            )
            size = region["original_height"], region["original_width"]
            assert size == label_HW.shape and region["type"] == "brushlabels"
            (name,) = region["value"]["brushlabels"]
            mask_HW = unpacked(region["value"]["rle"]).reshape(*size, 4)[..., 3] == 255
            found_HW[mask_HW] = masked.names.index(name)
        assert np.array_equal(found_HW, np.where(label_HW == VOID, 0, label_HW))
    assert any(str(masked.root) in line for line in said)


def test_label_studio_takes_any_address(masked, tmp_path):
    to = new(tmp_path)
    label_studio.write(masked, to, to, prefix="https://host/a b/")
    first = json.loads((to / "tasks.json").read_text())[0]
    assert first["data"]["image"] == "https://host/a b/train_0.jpg"


def test_label_studio_photos_are_copied_below_the_new_folder(masked, tmp_path):
    to = new(tmp_path)
    said = label_studio.write(masked, to, tmp_path / "final", photos=True)
    for task in json.loads((to / "tasks.json").read_text()):
        (place,) = parse_qs(urlsplit(task["data"]["image"]).query)["d"]
        assert (to / place).is_file()
    assert any(f"set to {tmp_path / 'final'}" in line for line in said)


@pytest.mark.parametrize("photos", [False, True])
def test_mmseg_has_a_mask_of_indices_beside_each_photo(masked, tmp_path, photos):
    to = new(tmp_path)
    both = masked.with_truth("val")
    mmseg.write(both, to, tmp_path / "final", photos=photos)
    for part, count in (("train", 8), ("val", 4)):
        masks = sorted((to / "ann_dir" / part).iterdir())
        images = sorted((to / "img_dir" / part).iterdir())
        assert [file.stem for file in masks] == [file.stem for file in images]
        assert len(masks) == count
        for mask, image in zip(masks, images):
            with Image.open(mask) as opened:
                assert opened.mode == "L"
                label_HW = np.array(opened)
            assert np.array_equal(label_HW, layout.read_labels(both.masks[mask.stem]))
            assert Image.open(image).size == label_HW.shape[::-1]
            assert image.is_symlink() != photos
    config = {
        node.targets[0].id: node.value
        for node in ast.parse((to / "dataset.py").read_text(encoding="utf-8")).body
    }
    known = {word.arg: ast.literal_eval(word.value) for word in config["metainfo"].keywords}
    assert known["classes"] == tuple(masked.names)
    assert known["palette"] == layout.voc_palette()[:4].tolist()
    assert ast.literal_eval(config["data_root"]) == str(tmp_path / "final")
    assert {"train_dataloader", "val_dataloader"} <= config.keys()


@pytest.mark.parametrize("photos", [False, True])
def test_voc_is_the_layout_again(masked, tiny_root, tmp_path, photos):
    to = new(tmp_path)
    voc.write(masked.with_truth("val"), to, photos=photos)
    for split, folder in (("train", tmp_path / "noise"), ("val", tiny_root / MASKS)):
        before = Photos(tiny_root, split).with_masks(folder)
        after = Photos(to, split).with_masks(to / MASKS)
        assert after.ids == before.ids and after.names == before.names
        assert after.tags_NK.equal(before.tags_NK) and after.fingerprint() == before.fingerprint()
        for index in range(len(before)):
            assert after.mask(index).equal(before.mask(index))
            assert after.image(index).equal(before.image(index))


@pytest.fixture
def predicted(tmp_path) -> Path:
    """A folder as `wsss predict` writes it, of photos of different formats, one of them turned."""
    folder, photos = tmp_path / "masks", tmp_path / "photos"
    (photos / "b").mkdir(parents=True)
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10), "red").save(photos / "1.png")
    Image.new("RGB", (20, 10), "red").save(photos / "b/ü 1.jpg", exif=exif)
    files = {"photos_1": photos / "1.png", "ü 1": photos / "b/ü 1.jpg", "gone": photos / "2.jpg"}
    note = {
        "made": {"network": "segmenter"},
        "classes": ["background", "apple"],
        "photos": {name: {"file": str(file)} for name, file in files.items()},
    }
    (folder / "predict.json").write_text(json.dumps(note))
    layout.write_mask(folder / "photos_1.png", np.eye(10, 20, dtype=np.uint8))
    layout.write_mask(folder / "ü 1.png", np.eye(20, 10, dtype=np.uint8))
    return folder


def test_masks_of_new_photos_need_no_dataset(predicted, tmp_path):
    masked = of_predictions(predicted, progress=False)
    assert [id for id, _ in masked.labels()] == ["photos_1", "ü 1"]
    to = new(tmp_path)
    voc.write(masked, to)
    photos = Photos(to, "train")
    assert photos.sizes == [(10, 20), (20, 10)] and photos.tags_NK.all()
    assert Image.open(to / PHOTOS / "photos_1.jpg").format == "JPEG"
    (tmp_path / "tasks").mkdir()
    label_studio.write(masked, tmp_path / "tasks", tmp_path / "tasks")
    tasks = json.loads((tmp_path / "tasks/tasks.json").read_text())
    places = [parse_qs(urlsplit(task["data"]["image"]).query)["d"][0] for task in tasks]
    assert places == ["photos/1.png", "photos/b/ü 1.jpg"]


def test_what_cannot_be_used_is_refused(masked, tiny_root, tmp_path, predicted):
    first = tmp_path / "noise/train_0.png"
    label_HW = layout.read_labels(first)
    for other, words in ((label_HW + 4, "holds the label"), (label_HW[1:], "its photo is")):
        layout.write_mask(first, other)
        with pytest.raises(InputError, match=words):
            list(masked.labels())
    layout.write_mask(tmp_path / "noise/other.png", label_HW)
    with pytest.raises(InputError, match="other.jpg is missing"):
        of_dataset(tmp_path / "noise", tiny_root)
    with pytest.raises(InputError, match="holds no masks"):
        of_dataset(tiny_root, tiny_root)
    (tmp_path / "photos/1.png").unlink()
    with pytest.raises(InputError, match="1.png is missing"):
        of_predictions(predicted)
    outside = {"classes": [], "photos": {"../a": {"file": "b"}}, "made": {"network": ""}}
    for text in ("{}", "[]", '{"classes": 1, "photos": {}, "made": {}}', json.dumps(outside)):
        (predicted / "predict.json").write_text(text)
        with pytest.raises(InputError, match="is not what wsss predict has written"):
            of_predictions(predicted)


def test_without_pycocotools_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    with pytest.raises(InputError, match="pip install pycocotools"):
        coco.encoded(np.ones((2, 2), dtype=bool))
