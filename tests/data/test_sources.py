"""What people bring is read as what it is, or asked about; nothing is lost without a word."""

import json
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from wsss_lib import cli
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.collection import Asked
from wsss_lib.data.sources.recognise import read


def photo(file, seed=None, size=(12, 8)):
    """A photo of noise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(str(file).encode()) if seed is None else seed
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format={".jfif": "JPEG", ".JPG": "JPEG"}.get(file.suffix))
    return file


def photos(root, *names):
    for name in names:
        photo(root / name)
    return root


def found(root, **asked):
    return read(root, Asked(**asked))


def tags_of(root, **asked):
    """The tags of each photo by its path below the root; and every photo is somewhere."""
    collection = found(root, **asked)
    there = {
        str(file.relative_to(root))
        for file in root.rglob("*")
        if file.suffix.lower() in (".jpg", ".png", ".gif")
    }
    hidden = {path for path in there if any(part[0] in ".@_" for part in path.split("/"))}
    taken = {
        str(item.file.relative_to(root)): {name for name, _ in item.objects}
        for item in collection.items
    }
    left = {file.replace(f"{root}/", "") for file, _ in collection.left_out}
    assert there - hidden <= set(taken) | left
    return taken


# folders


def test_a_folder_for_each_tag(tmp_path):
    photos(tmp_path, "cat/a.jpg", "dog/b.png", "Background/c.jpg", "cat/d.jfif", "cat/e.gif")
    assert tags_of(tmp_path) == {
        "cat/a.jpg": {"cat"}, "cat/d.jfif": {"cat"}, "cat/e.gif": {"cat"}, "dog/b.png": {"dog"}, "Background/c.jpg": set(),
    }  # fmt: skip


def test_photos_below_the_folder_of_a_tag(tmp_path):
    photos(tmp_path, "cat/2023/may/a.jpg", "cat/b.jpg", "dog/2023/c.jpg")
    assert tags_of(tmp_path) == {
        "cat/2023/may/a.jpg": {"cat"},
        "cat/b.jpg": {"cat"},
        "dog/2023/c.jpg": {"dog"},
    }
    assert any("2 photos lie deeper" in line for line in found(tmp_path).said)


@pytest.mark.parametrize("top", ["", "images/", "dataset/Images/"])
def test_parts_are_no_tags(tmp_path, top):
    photos(tmp_path, f"{top}train/cat/a.jpg", f"{top}train/dog/b.jpg", f"{top}valid/cat/c.jpg")
    collection = found(tmp_path)
    assert {(item.file.name, item.objects[0][0], item.part) for item in collection.items} == {
        ("a.jpg", "cat", "train"), ("b.jpg", "dog", "train"), ("c.jpg", "cat", "val"),
    }  # fmt: skip


def test_a_train_can_be_what_a_photo_shows(tmp_path):
    photos(tmp_path, "train/a.jpg", "boat/b.jpg")
    assert tags_of(tmp_path) == {"train/a.jpg": {"train"}, "boat/b.jpg": {"boat"}}
    lone = photos(tmp_path / "lone", "train/a.jpg")
    with pytest.raises(InputError, match="photos in train, and no folder that could be a tag"):
        found(lone)
    assert tags_of(lone, kind="folders") == {"train/a.jpg": {"train"}}


def test_what_systems_add_is_passed_over(tmp_path):
    photos(
        tmp_path, "cat/a.jpg", ".trash/x.jpg", "cat/.ipynb_checkpoints/a-checkpoint.jpg", "@eaDir/s.jpg", "__MACOSX/._a.jpg",
        "cat/._a.jpg",
    )  # fmt: skip
    (tmp_path / "cat/Thumbs.db").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    assert tags_of(tmp_path) == {"cat/a.jpg": {"cat"}}
    empty, line = found(tmp_path).said
    assert empty == "the folder empty gives no tag: it is empty"
    assert "passed over" in line and ".ipynb_checkpoints (1)" in line and "@eaDir (1)" in line
    assert "Thumbs.db (1)" in line and "hidden (2)" in line


FLAT = [["a.jpg", "b.jpg"], ["images/a.jpg"], ["train/a.jpg", "valid/b.jpg"], ["JPEGImages/a.jpg"]]


@pytest.mark.parametrize("names", FLAT)
def test_technical_folders_are_no_tags(tmp_path, names):
    with pytest.raises(
        InputError, match="no folder that could be a tag: make a folder for each tag"
    ):
        found(photos(tmp_path, *names))


def test_one_folder_around_all_others_is_asked_about(tmp_path):
    photos(tmp_path, "animals/cat/a.jpg", "animals/dog/b.jpg")
    with pytest.raises(
        InputError, match=r"give .*animals if these are tags \(cat, dog\), or say --as folders"
    ):
        found(tmp_path)
    assert tags_of(tmp_path / "animals") == {"cat/a.jpg": {"cat"}, "dog/b.jpg": {"dog"}}
    assert set.union(*tags_of(tmp_path, kind="folders").values()) == {"animals"}


def test_formats_that_are_not_read_are_left_out_with_the_tags_that_vanish(tmp_path):
    photos(tmp_path, "cat/a.jpg", "dog/b.jpg")
    for name in ("bird/1.HEIC", "bird/2.HEIC", "cat/3.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "dog/gone.jpg").symlink_to("nowhere.jpg")
    collection = found(tmp_path)
    assert collection.said == [
        "the folder bird gives no tag: it holds no photo that is read (2 .heic)"
    ]
    assert sorted(reason.split(",")[0] for _, reason in collection.left_out) == [
        "ends in .HEIC", "ends in .HEIC", "ends in .heic", "is a link to a file that is gone",
    ]  # fmt: skip
    for file in tmp_path.rglob("*.jpg"):
        file.unlink()
    with pytest.raises(InputError, match="holds no photos.*3 files end in .heic|2 files end in"):
        found(tmp_path)


def test_spellings_of_a_tag_are_one(tmp_path):
    photos(tmp_path, "Cat/a.jpg", "cat/b.jpg", "cat/c.jpg", "caf\u00e9/d.jpg", "cafe\u0301/e.jpg")
    assert tags_of(tmp_path) == {
        "Cat/a.jpg": {"cat"}, "cat/b.jpg": {"cat"}, "cat/c.jpg": {"cat"}, "caf\u00e9/d.jpg": {"caf\u00e9"},
        "cafe\u0301/e.jpg": {"caf\u00e9"},
    }  # fmt: skip
    assert "'Cat' (1) and 'cat' (2) are taken for one tag, 'cat'" in found(tmp_path).said


# tables

A, B, C = {"a.jpg": {"cat"}}, {"b.jpg": {"dog"}}, {"c.jpg": {"cat", "dog"}}
TABLES = {
    "semicolons in a cell": "file,tags\na.jpg,cat\nb.jpg,dog\nc.jpg,cat;dog\n",
    "no heading": "a.jpg,cat\nb.jpg, dog \nc.jpg,dog;cat\n",
    "quoted commas": 'file,tags\na.jpg,"cat"\nb.jpg,"dog"\nc.jpg,"cat, dog"\n',
    "apart by semicolons": "file;tags\na.jpg;cat\nb.jpg;dog\nc.jpg;cat,dog\n",
    "tabs": "image\tlabel\na.jpg\tcat\nb.jpg\tdog\nc.jpg\tcat|dog\n",
    "a row for each tag": "filename,class\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\nc.jpg,dog\n",
    "columns of tags": "id,tag1,tag2\na.jpg,cat,\nb.jpg,dog,\nc.jpg,dog,cat\n",
    "further cells": "a.jpg,cat\nb.jpg,dog\nc.jpg,cat,dog\n",
    "a column for each tag": "filename, cat, dog\na.jpg,1,0\nb.jpg,0,1\nc.jpg,1,1\n",
    "yes and no": "image,cat,dog\na.jpg,true,false\nb.jpg,False,TRUE\nc.jpg,TRUE,true\n",
    "crosses": "photo;cat;dog\na.jpg;x;\nb.jpg;;X\nc.jpg;x;x\n",
    "no endings": "id,tags\na,cat\nb,dog\nc,cat;dog\n",
    "folders in front": "path,tags\n/home/me/p/a.jpg,cat\nC:\\p\\b.jpg,dog\n./c.jpg,cat;dog\n",
    "more columns": "file,width,height,label\na.jpg,12,8,cat\nb.jpg,12,8,dog\nc.jpg,12,8,cat;dog\n",
    "spellings": "file,tags\na.jpg,cat\nb.jpg,Dog\nb.jpg,dog\nc.jpg,cat;dog\n",
    "blank lines": "\n\nfile,tags\n\na.jpg,cat\n\nb.jpg,dog\nc.jpg,cat;dog\n\n",
    "old line ends": "file,tags\ra.jpg,cat\rb.jpg,dog\rc.jpg,cat;dog\r",
}


@pytest.mark.parametrize("name", ["tags.csv", "anything.csv"])
@pytest.mark.parametrize("table", TABLES)
def test_tables_of_tags(tmp_path, table, name):
    photos(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / name).write_bytes(TABLES[table].encode())
    assert tags_of(tmp_path) == A | B | C


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings_with_a_mark_are_read(tmp_path, encoding):
    photos(tmp_path, "a.jpg")
    (tmp_path / "tags.csv").write_text("file,tags\na.jpg,k\u00e4fer\n", encoding=encoding)
    assert tags_of(tmp_path) == {"a.jpg": {"k\u00e4fer"}}


def test_another_encoding_is_asked_for(tmp_path):
    photos(tmp_path, "a.jpg")
    (tmp_path / "tags.csv").write_text("file,tags\na.jpg,k\u00e4fer\n", encoding="cp1252")
    with pytest.raises(InputError, match="not in UTF-8.*--encoding cp1252"):
        found(tmp_path)
    assert tags_of(tmp_path, encoding="cp1252") == {"a.jpg": {"k\u00e4fer"}}
    with pytest.raises(InputError, match="no encoding klingon"):
        found(tmp_path, encoding="klingon")


ASKED = {
    "a blank": ("a.jpg,cat\nb.jpg,dog\nc.jpg,cat dog\n", " ", {"cat", "dog"}, {"cat dog"}),
    "a comma": ('a.jpg,cat\nb.jpg,dog\nc.jpg,"big, red"\n', ",", {"big", "red"}, {"big, red"}),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_may_be_one_tag_or_several_is_asked(tmp_path, case):
    text, sign, several, one = ASKED[case]
    photos(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "tags.csv").write_text(text)
    with pytest.raises(InputError, match=f"--separator '{sign}'.*--separator ';'"):
        found(tmp_path)
    assert tags_of(tmp_path, separator=sign)["c.jpg"] == several
    assert tags_of(tmp_path, separator=";")["c.jpg"] == one


def test_tags_may_hold_blanks(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "tags.csv").write_text("a.jpg,traffic light\nb.jpg,stop sign;traffic  light\n")
    assert tags_of(tmp_path) == {
        "a.jpg": {"traffic light"},
        "b.jpg": {"stop sign", "traffic light"},
    }


def test_missing_photos_are_named_at_once(tmp_path):
    photos(tmp_path, "a.jpg", "extra.jpg")
    (tmp_path / "tags.csv").write_text("a.jpg,cat\nb.jpg,dog\nc.jpg,dog\n")
    with pytest.raises(InputError, match="'b.jpg' and 1 more.*--skip-broken"):
        found(tmp_path)
    collection = found(tmp_path, skip_missing=True)
    reasons = sorted(reason for _, reason in collection.left_out)
    assert reasons == [
        "is named nowhere",
        "is named, but is not there",
        "is named, but is not there",
    ]


def test_photos_of_one_name_are_told_apart_by_their_folders(tmp_path):
    photos(tmp_path, "x/a.jpg", "y/a.jpg")
    (tmp_path / "tags.csv").write_text("x/a.jpg,cat\ny/a.jpg,dog\n")
    assert tags_of(tmp_path) == {"x/a.jpg": {"cat"}, "y/a.jpg": {"dog"}}
    (tmp_path / "tags.csv").write_text("a.jpg,cat\n")
    with pytest.raises(InputError, match="a.jpg can be .*write the folder"):
        found(tmp_path)


REFUSED = {
    "no photo": ("one,two\nthree,four\n", "names no photo"),
    "which column": ("file,colour,mood\na.jpg,red,good\n", "which column.*name its heading tags"),
    "no tags": ("file,tags\na.jpg,\n", "no photo has a tag"),
    "bytes": ("file,tags\na.jpg,c\0t\n", "no text"),
    "empty": ("", "names no photo"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tables_that_cannot_be_used(tmp_path, case):
    text, words = REFUSED[case]
    photos(tmp_path, "a.jpg")
    (tmp_path / "tags.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        found(tmp_path)


def test_several_tables_are_asked_about(tmp_path):
    photos(tmp_path, "a.jpg")
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("file,tags\na.jpg,cat\n")
    with pytest.raises(InputError, match="several tables.*--table FILE"):
        found(tmp_path)
    assert tags_of(tmp_path, table=tmp_path / "two.csv") == A


def test_a_table_or_a_json_can_be_given_alone(tmp_path):
    photos(tmp_path, "a.jpg")
    (tmp_path / "my list.csv").write_text("file,tags\na.jpg,cat\n")
    assert [item.file.name for item in found(tmp_path / "my list.csv").items] == ["a.jpg"]


def test_a_table_beside_folders_is_asked_about(tmp_path):
    photos(tmp_path, "cat/a.jpg", "dog/b.jpg")
    (tmp_path / "list.csv").write_text("file,tags\ncat/a.jpg,kitten\ndog/b.jpg,puppy\n")
    with pytest.raises(InputError, match="--as table.* and .*--as folders"):
        found(tmp_path)
    assert tags_of(tmp_path, kind="folders")["cat/a.jpg"] == {"cat"}
    assert tags_of(tmp_path, kind="table")["cat/a.jpg"] == {"kitten"}


# the command


def test_the_command_says_what_it_took_the_source_for(tmp_path, capsys):
    photos(tmp_path / "mine", *(f"{tag}/{i}.jpg" for tag in ("cat", "dog") for i in range(5)))
    cli.main(["prepare", str(tmp_path / "mine"), str(tmp_path / "out"), "--look"])
    said = capsys.readouterr().out
    assert said.startswith("taken for a folder for each tag\n") and "nothing was written" in said
    assert not (tmp_path / "out").exists()
    cli.main(["prepare", str(tmp_path / "mine"), str(tmp_path / "out")])
    assert "8 photos in train, 2 photos in val" in capsys.readouterr().out
    assert (tmp_path / "out/report.html").is_file() and (tmp_path / "out/originals.csv").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere", "out"], "nowhere is not a folder"),
        (["mine", "mine"], "is there already"),
        (["mine", "out", "--val", "1.5"], "val"),
        (["mine", "out", "--aug", "x"], "--aug is for VOC 2012 only"),
        (["mine", "out", "--as", "coco"], "holds no COCO json"),
    ],
)
def test_the_command_refuses_in_one_sentence(tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "mine", "cat/a.jpg", "dog/b.jpg")
    with pytest.raises(SystemExit) as stop:
        cli.main(["prepare", *words])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and sentence in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_nothing_of_torch_is_needed():
    code = "import sys; from wsss_lib.data.sources import prepare, voc2012; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_json_that_is_written_by_nobody(tmp_path):
    photos(tmp_path, "a.jpg")
    (tmp_path / "x.json").write_text(json.dumps({"images": [], "annotations": [], "other": 1}))
    with pytest.raises(InputError, match="has no categories|has no"):
        found(tmp_path)
