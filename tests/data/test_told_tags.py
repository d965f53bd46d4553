"""Tags of photos in a table or in one line."""

from pathlib import Path

import numpy as np
import pytest

from wsss_lib.data.layout import InputError
from wsss_lib.data.told_tags import read_tags

NAMES = ["background", "cat", "dog", "polar bear"]
PHOTOS = [Path("x/a/1.jpg"), Path("x/b/1.jpg"), Path("x/b/2.jpg")]


def test_one_line_is_for_all_photos():
    tags = read_tags("polar bear; cat", PHOTOS, NAMES)
    assert tags.tolist() == 3 * [[True, False, True]]
    assert not read_tags("", PHOTOS, NAMES).any()


@pytest.mark.parametrize(
    "text",
    [
        "a/1.jpg,cat\nb/1.jpg,dog;cat\n2.jpg,\n",
        "file,tags\n./a/1.jpg,cat\nx/b/1.jpg, dog ; cat\n2,\n9.jpg,emu\n",
        "\ufeffa\\1.jpg,cat\r\n\r\nb\\1.jpg,cat;dog\r\nb\\2.jpg,\r\n",
    ],
)
def test_a_table_has_a_line_for_each_photo(tmp_path, text):
    (tmp_path / "tags.csv").write_bytes(text.encode())
    tags = read_tags(str(tmp_path / "tags.csv"), PHOTOS, NAMES)
    assert np.array_equal(tags, np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], dtype=bool))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1.jpg,cat\n2.jpg,dog\n", "one line 1.jpg for two photos"),
        ("a/1.jpg,cat\n", "no line for x/b/1.jpg and 1 more photos"),
        ("a/1.jpg,cat\nb/1.jpg,cat\n2.jpg,catt\n", "no class 'catt'; did you mean cat"),
        ("a/1.jpg,cat,dog\n", "write file,tag;tag"),
        ("a/1.jpg\n", "write file,tag;tag"),
        ("a/1.jpg,cat\na/1.jpg,dog\n", "a/1.jpg more than once"),
    ],
)
def test_what_could_mean_something_else_is_refused(tmp_path, text, words):
    (tmp_path / "tags.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_tags(str(tmp_path / "tags.csv"), PHOTOS, NAMES)


def test_an_unknown_tag_and_a_missing_table_are_refused(tmp_path):
    with pytest.raises(InputError, match="no class 'dgo'; did you mean dog. There are: cat, dog"):
        read_tags("cat;dgo", PHOTOS, NAMES)
    with pytest.raises(InputError, match="no class 'background'"):
        read_tags("background", PHOTOS, NAMES)
    with pytest.raises(InputError, match="none.csv is missing"):
        read_tags(str(tmp_path / "none.csv"), PHOTOS, NAMES)
