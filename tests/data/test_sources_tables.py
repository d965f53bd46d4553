"""Tables whose columns and names can be taken for something that they are not."""

import pytest

from tests.data.test_sources import found, photos, tags_of
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.cells import listed_tags
from wsss_lib.data.sources.collection import boxed


def table(root, text, *names, file="tags.csv"):
    photos(root, *(names or ("a.jpg", "b.jpg")))
    (root / file).write_text(text)
    return root


READ = {
    "lists of Python": "file,tags\na.jpg,\"['cat', 'dog']\"\nb.jpg,['dog']\n",
    "lists of json": 'file,tags\na.jpg,"[""cat"",""dog""]"\nb.jpg,"[""dog""]"\n',
    "numbers beside names": "file,class,class_name\na.jpg,0,cat\na.jpg,1,dog\nb.jpg,1,dog\n",
    "a column of row numbers": ",image,label\n0,a.jpg,cat\n1,a.jpg,dog\n2,b.jpg,dog\n",
    "measures": "file,width,cat,dog\na.jpg,12,1,1\nb.jpg,12,0,1\n",
    "a tag that no photo has": "file,cat,dog,emu\na.jpg,x,x,\nb.jpg,,x,\n",
    "unknown": "file,cat,dog\na.jpg,1,1\nb.jpg,-1,1\n",
    "an address": "image,tags\nhttps://x.org/p/a.jpg?size=3,cat;dog\n/data/local-files/?d=p/b.jpg,dog\n",
    "RetinaNet": "a.jpg,1,2,5,6,cat\na.jpg,1,1,4,4,dog\nb.jpg,1,1,4,4,dog\n",
    "unknown headings": "Bild;Tier\na.jpg;cat|dog\nb.jpg;dog\n",
    "further cells without headings": "file,tags\na.jpg,cat,dog\nb.jpg,dog\n",
    "bars between columns": "file|tags\na.jpg|cat;dog\nb.jpg|dog\n",
    "Excel's first line": "sep=;\nfile;tags\na.jpg;cat,dog\nb.jpg;dog\na.jpg;cat\n",
    "a remark": "# of May\n\nfile,tags\na.jpg,cat;dog\nb.jpg,dog\n",
}


@pytest.mark.parametrize("form", READ)
def test_tables_that_programs_write(tmp_path, form):
    assert tags_of(table(tmp_path, READ[form])) == {"a.jpg": {"cat", "dog"}, "b.jpg": {"dog"}}


def test_a_tag_may_be_called_like_a_photo(tmp_path):
    table(tmp_path, "file,cat,dog\ncat.jpg,1,0\ndog.jpg,1,1\n", "cat.jpg", "dog.jpg")
    assert tags_of(tmp_path) == {"cat.jpg": {"cat"}, "dog.jpg": {"cat", "dog"}}


def test_what_is_passed_over_is_said(tmp_path):
    table(tmp_path, "file,cat,dog,notes\na.jpg,1,0,nice\nb.jpg,-1,1,\n")
    assert found(tmp_path).said == [
        "columns of tags.csv that are no tags: notes",
        "1 cells of tags.csv hold -1 or ?, which is not taken for a tag",
    ]


REFUSED = {
    "counts": (
        "file,cat,dog,emu\na.jpg,1,0,2\nb.jpg,0,1,0\n",
        "holds 2 in the column emu: write 1",
    ),
    "two kinds of tags": (
        "file,label,category\na.jpg,cat,pet\n",
        "columns label, category .*leave one",
    ),
    "more cells than headings": (
        "file,tag,width\na.jpg,cat,12,dog\n",
        "more cells in the line 'a.jpg,cat,12,dog' than head",
    ),
    "numbers without headings": ("a.jpg,12,8,cat\n", "no headings, and numbers in column 2"),
    "the first photo is missing": (
        "x,cat\na,dog\nb,cat\n",
        "names a photo that is missing .'x'. or",
    ),
    "a line without a photo": (
        "file,tags\na.jpg,cat\n,dog\n",
        "the line ',dog' of .* names no photo",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_mean_something_else_is_refused(tmp_path, case):
    text, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        found(table(tmp_path, text))


@pytest.mark.parametrize("name", ["labels.csv", "tags.csv"])
def test_a_table_that_cannot_be_read_is_not_passed_over(tmp_path, name):
    photos(tmp_path, "images/a.jpg")
    (tmp_path / name).write_bytes("file;tags\na.jpg;k\u00e4fer\n".encode("cp1252"))
    with pytest.raises(InputError, match="--encoding cp1252"):
        found(tmp_path)
    (tmp_path / name).write_text("file;tags\nx7;cat\n")
    with pytest.raises(InputError, match=f"{name} names no photo"):
        found(tmp_path)


# photos and their names


def test_names_are_taken_as_they_are_first(tmp_path):
    names = [
        "#1.jpg",
        "a.jpg",
        "A.jpg",
        "a.jpg.jpg",
        "cat #1.jpg",
        "100%25.jpg",
        "f.jpg",
        "f.001.jpg",
    ]
    text = "".join(f"{name},t{number}\n" for number, name in enumerate(names))
    table(tmp_path, text, *names)
    assert tags_of(tmp_path) == {name: {f"t{number}"} for number, name in enumerate(names)}


def test_an_umlaut_may_be_one_sign_or_two(tmp_path):
    table(
        tmp_path,
        "file,tag\nK\u00e4fer/\u00fc.jpg,cat\n",
        "Ka\u0308fer/u\u0308.jpg",
        "x/u\u0308.jpg",
    )
    (item,) = found(tmp_path).items
    assert item.file.parent.name == "Ka\u0308fer"


def test_an_ending_is_missing_only_where_it_can_be(tmp_path):
    """``f.002`` is no name of ``f.jpg``."""
    table(tmp_path, "id,tag\nf.001,cat\nf.002,dog\n", "f.jpg", "f.001.jpg")
    with pytest.raises(InputError, match="'f.002', but there is no such photo"):
        found(tmp_path)


def test_two_photos_of_one_name_need_an_ending(tmp_path):
    table(tmp_path, "id,tag\na,cat\n", "a.jpg", "a.png")
    with pytest.raises(InputError, match="write the ending behind the name"):
        found(tmp_path)


def test_folders_tell_names_without_endings_apart(tmp_path):
    table(tmp_path, "id,tag\nx/a,cat\ny/a,dog\n", "x/a.jpg", "y/a.jpg")
    assert tags_of(tmp_path) == {"x/a.jpg": {"cat"}, "y/a.jpg": {"dog"}}


def test_two_names_are_never_one_photo(tmp_path):
    table(tmp_path, "cat/1.jpg,cat\ndog/1.jpg,dog\n", "cat/1.jpg")
    with pytest.raises(InputError, match="cat/1.jpg and dog/1.jpg are two names.*only photo"):
        found(tmp_path)
    table(tmp_path, "1.jpg,cat\ncat/1.jpg,pet\n")
    assert tags_of(tmp_path)["cat/1.jpg"] == {"cat", "pet"}


def test_a_photo_of_another_list_is_not_meant(tmp_path):
    table(tmp_path, "train/1.jpg,cat\n", "val/1.jpg")
    with pytest.raises(InputError, match="'train/1.jpg', but there is no such photo"):
        found(tmp_path)


# lists


def test_tables_that_are_called_like_lists(tmp_path):
    photos(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "train.csv").write_text("id,label\na,cat\n")
    (tmp_path / "my-val.csv").write_text("id,label\nb,cat\n")
    assert {item.file.stem: item.part for item in found(tmp_path).items} == {
        "a": "train",
        "b": "val",
    }


def test_a_column_of_lists(tmp_path):
    table(tmp_path, "file,tag,split\na.jpg,cat,Train\nb.jpg,dog,validation\na.jpg,dog,val\n")
    collection = found(tmp_path)
    assert {item.file.stem: item.part for item in collection.items} == {"a": "train", "b": "val"}
    assert collection.said == ["photos that are in two lists stay in the first: a.jpg (train, val)"]


@pytest.mark.parametrize(
    ("head", "value"), [("fold", "0"), ("split", "../../../x"), ("part", "head")]
)
def test_a_column_that_is_no_list_is_said(tmp_path, head, value):
    table(tmp_path, f"file,tag,{head}\na.jpg,cat,{value}\nb.jpg,dog,train\n")
    collection = found(tmp_path)
    assert {item.part for item in collection.items} == {None}
    (line,) = collection.said
    assert f"the column {head} of tags.csv is not taken for lists, since it holds {value!r}" in line


# cells


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("cat", None),
        ("[cat]", None),
        ("[1, 2]", None),
        ("[]", []),
        ('["cat","traffic  light"]', ["cat", "traffic light"]),
        ('{"choices": ["cat", "dog"]}', ["cat", "dog"]),
        (
            '[{"x": 1, "y": 2, "rectanglelabels": ["cat"]}, {"polygonlabels": ["dog"]}]',
            ["cat", "dog"],
        ),
        ("__import__('os')", None),
        ("[__import__('os')]", None),
    ],
)
def test_lists_in_a_cell(cell, tags):
    assert listed_tags(cell) == tags


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        (["1", "2.4", "5.6", "6"], (1, 2, 6, 6)),
        ([0, -3, 5, 5], (1, 1, 5, 5)),
        ([5, 5, 2, 2], None),
        (["1", None, "3", "4"], None),
        (["inf", "1", "2", "3"], None),
        (["nan", "1", "2", "3"], None),
    ],
)
def test_boxes(corners, box):
    assert boxed(corners) == box
