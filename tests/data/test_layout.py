"""The files of the one layout: reading, writing, and what is said when they are wrong."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data import annotations, layout
from wsss_lib.data.layout import InputError


def test_reading_gives_what_was_written(tiny_root):
    names = layout.class_names(tiny_root)
    ids = layout.split_ids(tiny_root, "train")
    assert names == ["background", "apple", "leaf", "plum"]
    assert ids == [f"train_{i}" for i in range(8)]
    tags = annotations.tags(
        tiny_root, ids, [annotations.objects(tiny_root, id) for id in ids], names
    )
    assert tags.dtype == bool and tags.shape == (8, 3)
    assert tags[3].tolist() == [True, True, False] and tags.sum() == 9


def test_boxes_enclose_the_objects_of_the_mask(tiny_root):
    mask = np.asarray(Image.open(tiny_root / "SegmentationClass/train_3.png"))
    boxes = annotations.boxes(tiny_root, "train_3")
    assert [name for name, _ in boxes] == ["apple", "leaf"]
    for label, (_, (xmin, ymin, xmax, ymax)) in enumerate(boxes, start=1):
        y, x = np.nonzero(mask == label)
        # VOC counts from 1 and includes the last pixel; the void edge is one pixel wide
        assert (x.min(), y.min(), x.max() + 2, y.max() + 2) == (xmin, ymin, xmax, ymax)


def test_real_voc_annotations_have_parts_fractions_and_objects_without_box(tmp_path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text(
        "<annotation><object><part><name>head</name></part><name> person </name><bndbox>"
        "<xmax>20</xmax><xmin>1.4</xmin><ymax>30</ymax><ymin>2</ymin></bndbox></object>"
        "<object><name>dog</name></object></annotation>"
    )
    person = ("person", (1, 2, 20, 30))
    assert annotations.objects(tmp_path, "a") == [person, ("dog", None)]
    assert annotations.boxes(tmp_path, "a") == [person]


def test_a_name_with_markup_survives_the_annotation(tmp_path):
    (tmp_path / "Annotations").mkdir()
    objects = [("cup & <saucer>", (1, 2, 3, 4)), ("größe", None)]
    file = tmp_path / "Annotations/a.xml"
    annotations.write_annotation(file, id="a", size_HW=(10, 20), objects=objects)
    assert annotations.objects(tmp_path, "a") == objects


def test_lists_may_have_blank_lines_carriage_returns_and_a_byte_order_mark(own_root):
    file = own_root / "ImageSets/Segmentation/train.txt"
    file.write_bytes(b"\xef\xbb\xbftrain_2\r\n\r\n  train_0 \r\n")
    assert layout.split_ids(own_root, "train") == ["train_2", "train_0"]


def test_palette_is_vocs(tmp_path):
    palette = layout.voc_palette()
    assert palette.shape == (256, 3) and palette.dtype == np.uint8
    # background, aeroplane, bicycle, cat, person, tvmonitor, void, as VOC's masks show them
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {label: tuple(palette[label].tolist()) for label in known} == known


def test_written_mask_is_a_palette_picture_with_the_same_labels(tmp_path):
    mask = np.array([[0, 1, 2], [20, 255, 0]])
    layout.write_mask(tmp_path / "m.png", mask)
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), mask)
        assert image.convert("RGB").getpixel((1, 1)) == (224, 224, 192)
    with pytest.raises(ValueError, match="0 ... 255"):
        layout.write_mask(tmp_path / "m.png", mask - 1)


def spoil(root, what):
    """Damage one thing and return what the sentence must say: the file and the remedy."""
    split, xml = root / "ImageSets/Segmentation/train.txt", root / "Annotations/train_4.xml"
    labels = root / "labels.txt"
    if what == "no labels":
        labels.unlink()
        return labels, "write the class names"
    if what == "labels without background":
        labels.write_text("apple\nleaf\n")
        return labels, "first line"
    if what == "repeated label":
        labels.write_text("background\napple\napple\n")
        return labels, "leave one"
    if what == "labels in another encoding":
        labels.write_bytes("background\nbirne\nö\n".encode("latin-1"))
        return labels, "UTF-8"
    if what == "no split":
        split.unlink()
        return split, "there are: val"
    if what == "empty split":
        split.write_text("\n \n")
        return split, "write the ids"
    if what == "repeated id":
        split.write_text("train_1\ntrain_0\ntrain_1\n")
        return split, "'train_1' more than once"
    if what == "id with a folder":
        split.write_text("../train_1\n")
        return split, "not a bare id"
    if what == "no photo":
        photo = root / "JPEGImages/train_4.jpg"
        photo.unlink()
        return photo, "take the id out of"
    if what == "no xml":
        xml.unlink()
        return xml, "prepare_folder.py"
    if what == "broken xml":
        xml.write_text(xml.read_text()[:-30])
        return xml, "write it anew"
    if what == "object without a name":
        xml.write_text("<annotation><object/></annotation>")
        return xml, "write it anew"
    xml.write_text("<annotation><object><name>pear</name></object></annotation>")
    return xml, "labels.txt"


@pytest.mark.parametrize("what", [
    "no labels", "labels without background", "repeated label", "labels in another encoding",
    "no split", "empty split", "repeated id", "id with a folder", "no photo", "no xml",
    "broken xml", "object without a name", "unknown class",
])  # fmt: skip
def test_wrong_lists_and_annotations_are_named_with_a_remedy(own_root, what):
    file, remedy = spoil(own_root, what)
    with pytest.raises(InputError) as error:
        names = layout.class_names(own_root)
        ids = layout.split_ids(own_root, "train")
        annotations.tags(own_root, ids, [annotations.objects(own_root, id) for id in ids], names)
    sentence = str(error.value)
    assert str(file) in sentence and remedy in sentence
    assert sentence.endswith(".") and "\n" not in sentence


@pytest.mark.parametrize("box", ["<xmin>1e400</xmin>", "<xmin>nan</xmin>", "<xmin>a</xmin>", ""])
def test_a_box_that_is_none_is_named(tmp_path, box):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text(
        f"<annotation><object><name>cat</name><bndbox>{box}</bndbox></object></annotation>"
    )
    with pytest.raises(InputError, match=r"a\.xml is not an annotation in VOC's format"):
        annotations.objects(tmp_path, "a")


def test_a_dataset_without_masks_may_have_any_number_of_classes(own_root):
    names = ["background", *(f"class {n}" for n in range(1000))]
    layout.write_lines(own_root / "labels.txt", names)
    assert layout.class_names(own_root) == names


def test_a_long_list_with_a_repeat_at_its_end_is_refused_at_once(own_root):
    ids = [f"photo_{n}" for n in range(100_000)]
    layout.write_lines(own_root / "ImageSets/Segmentation/train.txt", [*ids, ids[-1]])
    start = time.perf_counter()
    with pytest.raises(InputError, match="'photo_99999' more than once"):
        layout.split_ids(own_root, "train")
    assert time.perf_counter() - start < 10  # counting each one would take minutes


def test_missing_and_empty_data_folders_are_named(tmp_path):
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match=f"{root}.*data_scripts"):
            layout.class_names(root)


def save(image, file, **options):
    image.save(file, **options)
    return layout.read_photo(file)


def test_photos_of_every_kind_become_rgb(tmp_path):
    grey = Image.fromarray(np.tile(np.arange(0, 250, 10, dtype=np.uint8), (25, 1)))
    rgb = Image.merge("RGB", (grey, grey.transpose(Image.Transpose.TRANSPOSE), grey))
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    half_clear = Image.merge("RGBA", (*rgb.split(), grey.point(lambda v: 255 * (v > 120))))
    white = Image.new("RGB", rgb.size, "white")

    def difference(a, b):
        return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max()

    png, jpg = tmp_path / "a.png", tmp_path / "a.jpg"
    assert difference(save(grey, png), grey.convert("RGB")) == 0
    assert difference(save(sixteen, png), grey.convert("RGB")) == 0
    assert difference(save(rgb.quantize(256), png), rgb.quantize(256).convert("RGB")) == 0
    assert (
        difference(save(half_clear, png), Image.composite(rgb, white, half_clear.split()[3])) == 0
    )
    assert difference(save(rgb.convert("CMYK"), jpg, quality=100), rgb) < 12
    assert difference(save(grey, jpg, quality=100), grey.convert("RGB")) < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    # upper left red, upper right green, lower left blue, on a picture twice as wide as high
    upright = np.full((16, 32, 3), 255, dtype=np.uint8)
    upright[:8, :16], upright[:8, 16:], upright[8:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = save(
        Image.fromarray(np.ascontiguousarray(stored)),
        tmp_path / "a.jpg",
        exif=exif,
        quality=100,
        subsampling=0,
    )
    assert np.abs(np.asarray(image).astype(int) - upright).max() < 12


@pytest.mark.parametrize("ending", ["jpg", "tif"])
def test_a_turned_photo_may_have_any_format(tmp_path, ending):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert save(Image.new("RGB", (30, 20)), tmp_path / f"a.{ending}", exif=exif).size == (20, 30)


@pytest.mark.parametrize("value", ["6", b"6", (6, 1), -1])
def test_an_orientation_that_is_none_is_passed_over(tmp_path, value, monkeypatch):
    monkeypatch.setattr(Image.Exif, "get", lambda *_: value)
    assert save(Image.new("RGB", (30, 20)), tmp_path / "a.jpg").size == (30, 20)


def test_exif_that_cannot_be_written_again_does_not_matter(tmp_path):
    """Pillow's `exif_transpose` writes it again, and fails where a maker's name is a number."""
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    written = (tmp_path / "a.jpg").read_bytes()
    odd = written.replace(b"\x01\x1a\x00\x05", b"\x01\x0f\x00\x05")  # resolution: maker
    assert odd != written
    (tmp_path / "a.jpg").write_bytes(odd)
    assert layout.read_photo(tmp_path / "a.jpg").size == (20, 30)


def test_transparency_of_a_colour_is_white(tmp_path):
    image = Image.new("RGB", (8, 8), (9, 8, 7))
    shown = save(image, tmp_path / "a.png", transparency=(9, 8, 7))
    assert shown.mode == "RGB" and shown.getpixel((3, 3)) == (255, 255, 255)


def test_two_photos_of_a_double_camera_are_the_first(tmp_path):
    first, second = Image.new("RGB", (30, 20), "red"), Image.new("RGB", (30, 20), "blue")
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])
    assert layout.read_photo(tmp_path / "a.mpo").getpixel((9, 9))[0] > 240


def test_postscript_is_no_photo_and_nothing_runs_it(tmp_path, monkeypatch):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.eps")
    ran = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: ran.append(1))
    for read in (layout.read_photo, layout.read_labels):
        with pytest.raises(InputError, match="cannot identify"):
            read(tmp_path / "a.eps")
    assert not ran


@pytest.mark.parametrize("bytes_kept", [0, 10, 0.3, 0.9])
def test_truncated_photo_is_named(tiny_root, tmp_path, bytes_kept):
    whole = (tiny_root / "JPEGImages/train_0.jpg").read_bytes()
    kept = bytes_kept if isinstance(bytes_kept, int) else int(bytes_kept * len(whole))
    file = tmp_path / "cut.jpg"
    file.write_bytes(whole[:kept])
    with pytest.raises(InputError, match=f"{file} cannot be read.*download it again"):
        layout.read_photo(file)
    with pytest.raises(InputError, match="gone.jpg is missing"):
        layout.read_photo(tmp_path / "gone.jpg")


@pytest.mark.parametrize("module", ["layout", "index"])
def test_drawing_and_preparing_data_need_no_torch(module):
    code = f"import sys, wsss_lib.data.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
