"""The index of a list of photos: quick to open, and never older than the photos."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from wsss_lib.data import annotations, index, layout
from wsss_lib.data.index import read_index
from wsss_lib.data.layout import ANNOTATIONS, LABELS, MASKS, PHOTOS, InputError
from wsss_lib.data.photos import Photos
from wsss_lib.data.truth import refuse_bad_masks, truth_fingerprint


@pytest.fixture
def looked(monkeypatch):
    """The ids of the photos and masks that are opened."""
    seen, look, look_at_mask = [], index.look, index.look_at_mask
    monkeypatch.setattr(index, "look", lambda root, id: seen.append(id) or look(root, id))
    monkeypatch.setattr(
        index,
        "look_at_mask",
        lambda root, row: seen.append(f"mask {row.id}") or look_at_mask(root, row),
    )
    return seen


def noise(file: Path) -> None:
    """Another photo in place of one, of the same height and width."""
    with Image.open(file) as image:
        size = image.size
    Image.effect_noise(size, 9).convert("RGB").save(file)


def test_it_holds_what_the_files_hold(own_root):
    for _ in range(2):  # made, and then read
        found = read_index(own_root, "train")
        assert found.ids == layout.split_ids(own_root, "train")
        for id, size, objects in zip(found.ids, found.sizes, found.objects):
            with Image.open(own_root / PHOTOS / f"{id}.jpg") as image:
                assert size == (image.height, image.width)
            assert objects == annotations.objects(own_root, id)
    assert len(set(found.digests)) == 8


def test_every_photo_is_opened_once(own_root, looked):
    read_index(own_root, "train")
    assert sorted(looked) == sorted(layout.split_ids(own_root, "train"))
    looked.clear()
    read_index(own_root, "train")
    assert looked == []


@pytest.mark.parametrize("what", ["photo", "annotation", "added", "date"])
def test_what_has_changed_is_looked_at_again_and_nothing_else(own_root, looked, what):
    before = read_index(own_root, "train")
    looked.clear()
    photo, xml = own_root / PHOTOS / "train_3.jpg", own_root / ANNOTATIONS / "train_3.xml"
    if what == "photo":
        noise(photo)
    elif what == "annotation":
        xml.write_text(xml.read_text().replace("leaf", "plum"))
    elif what == "date":
        os.utime(photo, ns=(0, 10**18))
    else:
        shutil.copy(photo, own_root / PHOTOS / "more.jpg")
        shutil.copy(xml, own_root / ANNOTATIONS / "more.xml")
        layout.write_lines(own_root / layout.SPLITS / "train.txt", [*before.ids, "more"])
    after = read_index(own_root, "train")
    assert looked == (["more"] if what == "added" else ["train_3"])
    assert (after.digests[:8] == before.digests) is (what != "photo")
    assert (after.objects[:8] == before.objects) is (what != "annotation")
    looked.clear()
    assert read_index(own_root, "train") == after and looked == []


def test_a_list_may_lose_and_change_the_order_of_its_photos(own_root, looked):
    ids = read_index(own_root, "train").ids
    layout.write_lines(
        own_root / layout.SPLITS / "train.txt", ids[:2:-1]
    )  # five of eight, backwards
    looked.clear()
    assert read_index(own_root, "train").ids == ids[:2:-1] and looked == []
    assert len((own_root / "train.csv").read_text().splitlines()) == 6


def test_a_photo_is_turned_as_exif_says(own_root):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(own_root / PHOTOS / "train_3.jpg", exif=exif)
    for _ in range(2):
        assert read_index(own_root, "train").sizes[3] == (30, 20)


def test_broken_photos_are_found_all_at_once_and_the_others_are_remembered(own_root, looked):
    files = [own_root / PHOTOS / f"train_{number}.jpg" for number in (3, 5, 6)]
    whole = [file.read_bytes() for file in files]
    for file in files:
        file.write_bytes(file.read_bytes()[:800])
    with pytest.raises(InputError, match=r"train_3\.jpg cannot be read .*2 more: train_5, train_6"):
        read_index(own_root, "train")
    for file, content in zip(files, whole):
        file.write_bytes(content)
    looked.clear()
    assert len(read_index(own_root, "train").ids) == 8
    assert sorted(looked) == ["train_3", "train_5", "train_6"]


@pytest.mark.parametrize(("folder", "ending"), [(PHOTOS, "jpg"), (ANNOTATIONS, "xml")])
def test_a_file_that_is_gone_is_missed_although_the_index_knows_it(own_root, folder, ending):
    read_index(own_root, "train")
    file = own_root / folder / f"train_3.{ending}"
    file.unlink()
    with pytest.raises(InputError, match=f"{file} is missing"):
        read_index(own_root, "train")


def test_a_bar_is_shown_when_there_is_much_to_look_at(own_root, monkeypatch, capsys):
    monkeypatch.setattr(index, "MANY", 8)
    read_index(own_root, "train", progress=True)
    assert "train: 100%" in capsys.readouterr().err
    read_index(own_root, "train", progress=True)
    read_index(own_root, "val", progress=True)  # has four photos
    assert capsys.readouterr().err == ""


def test_photos_are_handed_to_the_threads_in_parts(own_root, monkeypatch):
    whole = read_index(own_root, "train")
    (own_root / "train.csv").unlink()
    monkeypatch.setattr(index, "AT_ONCE", 3)
    assert read_index(own_root, "train") == whole


def test_two_processes_may_make_it_at_once(own_root):
    code = f"from wsss_lib.data.index import read_index; read_index({str(own_root)!r}, 'train')"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    with (own_root / "train.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 8
    assert not list(own_root.glob(".*"))


def test_any_class_name_survives(own_root):
    name = "a;b, \"c\"\tü\n猫, 'd'"
    xml = own_root / ANNOTATIONS / "train_3.xml"
    annotations.write_annotation(
        xml, id="x", size_HW=(9, 9), objects=[(name, None), ("d", (1, 2, 3, 4))]
    )
    for _ in range(2):
        assert read_index(own_root, "train").objects[3] == [(name, None), ("d", (1, 2, 3, 4))]


def damaged(text: bytes, how: str) -> bytes:
    lines = text.splitlines(keepends=True)
    return {
        "half": text[: len(text) - 40],
        "bytes": lines[0] + b"\xff\xfe\x00",
        "a line": b"".join([*lines[:-1], b"train_7,1\r\n"]),
        "a number": text.replace(b",48,", b",4x,"),
        "objects": text.replace(b'[[""apple""', b'[[""apple'),
        "a name": text.replace(b'""apple""', b"5"),
        "a mask": text[:-5],
        "no rows": lines[0],
        "other columns": text.replace(b",mask_of", b",mask"),
        "nothing": b"",
        "zeros": bytes(len(text)),
    }[how]


@pytest.mark.parametrize("how", [
    "half", "bytes", "a line", "a number", "objects", "a name", "a mask", "no rows",
    "other columns", "nothing", "zeros",
])  # fmt: skip
def test_a_damaged_index_is_made_again(own_root, how):
    refuse_bad_masks(own_root, "train")
    whole, file = read_index(own_root, "train"), own_root / "train.csv"
    text = file.read_bytes()
    assert damaged(text, how) != text
    file.write_bytes(damaged(text, how))
    assert read_index(own_root, "train") == whole
    refuse_bad_masks(own_root, "train")
    assert file.read_bytes() == text


def is_served_from_memory(root: Path, looked: list[str]) -> None:
    """All is looked at once, and what changes is noticed."""
    for _ in range(2):
        assert len(read_index(root, "train").ids) == 8
        refuse_bad_masks(root, "train")
        before = truth_fingerprint(root, "train")
    assert len(looked) == 16
    looked.clear()
    noise(root / PHOTOS / "train_3.jpg")
    read_index(root, "train")
    assert looked == ["train_3"] and truth_fingerprint(root, "train") == before


def test_a_table_of_somebody_else_is_left_alone(own_root, looked):
    file = own_root / "train.csv"
    file.write_text("file,tags\na.jpg,cat\n")
    is_served_from_memory(own_root, looked)
    assert file.read_text() == "file,tags\na.jpg,cat\n"


def test_a_folder_that_cannot_be_written_to_is_served_all_the_same(own_root, looked, monkeypatch):
    def refuse(*_):
        raise PermissionError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr("wsss_lib.data.files.os.replace", refuse)
        is_served_from_memory(own_root, looked)
    assert not (own_root / "train.csv").exists()
    (own_root / ANNOTATIONS / "train_1.xml").touch()
    read_index(own_root, "train")  # now it can
    assert len((own_root / "train.csv").read_text().splitlines()) == 9
    looked.clear()
    read_index(own_root, "train")
    assert looked == []


def test_the_index_is_a_plain_table(own_root):
    read_index(own_root, "train")
    with (own_root / "train.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows][:2] == ["train_0", "train_1"]
    assert (rows[0]["height"], rows[0]["width"]) == ("48", "64")


# what the photos stand for


def test_the_same_photos_elsewhere_are_the_same(own_root, tmp_path):
    one = Photos(own_root, "train").fingerprint()
    shutil.copytree(own_root, tmp_path / "copy", copy_function=shutil.copyfile)  # with new dates
    assert Photos(tmp_path / "copy", "train").fingerprint() == one
    os.utime(tmp_path / "copy" / PHOTOS / "train_3.jpg", ns=(0, 10**18))
    assert Photos(tmp_path / "copy/../copy", "train").fingerprint() == one
    shutil.rmtree(tmp_path / "copy" / MASKS)
    (tmp_path / "copy/train.csv").unlink()
    assert Photos(tmp_path / "copy", "train").fingerprint() == one


def test_a_part_of_the_photos_is_another(own_root):
    photos = Photos(own_root, "train")
    whole = photos.fingerprint()
    assert photos.subset([1, 2]).fingerprint() not in (whole, photos.subset([2, 1]).fingerprint())
    assert photos.subset(range(8)).fingerprint() == whole
    noise(own_root / PHOTOS / "train_0.jpg")
    after = Photos(own_root, "train")
    assert after.subset([1, 2]).fingerprint() == photos.subset([1, 2]).fingerprint()
    assert after.subset([0]).fingerprint() != photos.subset([0]).fingerprint()


@pytest.mark.parametrize("what", ["photo", "tag", "names", "order"])
def test_other_photos_are_others(own_root, what):
    photos = Photos(own_root, "train")
    before, xml = photos.fingerprint(), own_root / ANNOTATIONS / "train_3.xml"
    if what == "photo":
        noise(own_root / PHOTOS / "train_3.jpg")
    elif what == "tag":
        xml.write_text(xml.read_text().replace("leaf", "plum"))
    elif what == "names":
        (own_root / LABELS).write_text("background\napple\nleaf\nplum\npear\n")
    else:
        layout.write_lines(own_root / layout.SPLITS / "train.txt", photos.ids[::-1])
    assert Photos(own_root, "train").fingerprint() != before


# masks


def test_masks_are_looked_at_once(own_root, looked):
    refuse_bad_masks(own_root, "train")
    assert sum(name.startswith("mask") for name in looked) == 8
    looked.clear()
    refuse_bad_masks(own_root, "train")
    read_index(own_root, "train")
    assert looked == []
    with Image.open(own_root / MASKS / "train_3.png") as mask:
        mask.rotate(180).save(own_root / MASKS / "train_3.png")
    before = truth_fingerprint(own_root, "train")
    assert looked == ["mask train_3"]
    (own_root / MASKS / "train_3.png").unlink()
    assert truth_fingerprint(own_root, "train") != before
