"""Two processes that want to make the same dataset at the same time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.faults.kills import ROOT
from wsss_lib import toy
from wsss_lib.data import files
from wsss_lib.data.layout import InputError
from wsss_lib.data.photos import Photos

AT_ONCE = 3


def together(commands) -> list[tuple[int, str]]:
    """Starts commands at once; exit code and last words of each."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = {
        "env": environment,
        "stderr": subprocess.PIPE,
        "stdout": subprocess.DEVNULL,
        "text": True,
    }
    started = [subprocess.Popen([sys.executable, *map(str, each)], **options) for each in commands]
    said = [process.communicate(timeout=120)[1] for process in started]
    return [(process.returncode, words) for process, words in zip(started, said)]


def test_data_that_several_draw_at_once_is_drawn(tmp_path):
    script, root = ROOT / "data_scripts/make_toy.py", tmp_path / "toy"
    command = [script, root, "--train", "12", "--val", "4", "--test", "2", "--size", "32"]
    for code, words in together([command] * AT_ONCE):
        assert code == 0, words
    assert len(Photos(root, "train")) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_one_of_several_that_prepare_the_same_folder_prepares_it_and_the_others_say_so(tmp_path):
    for number in range(20):
        file = tmp_path / f"photos/{'cat' if number % 2 else 'dog'}/{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (number, 90, 90)).save(file)
    command = [ROOT / "data_scripts/prepare_folder.py", tmp_path / "photos", tmp_path / "out"]
    answers = together([command] * AT_ONCE)
    assert [code for code, _ in answers].count(0) == 1
    for code, words in answers:
        assert code == 0 or (code == 2 and "is there already" in words.splitlines()[-1]), words
    assert len(Photos(tmp_path / "out", "train")) + len(Photos(tmp_path / "out", "val")) == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]


def test_who_comes_second_finds_the_same_drawing_or_is_told_of_another_one(tmp_path, monkeypatch):
    """The other one finishes between the first look and the last step."""
    rename, options = os.rename, {"train": 3, "val": 2, "test": 1, "size": 32, "progress": False}
    toy.write(tmp_path / "theirs", seed=0, **options)
    for seed in (0, 1):
        root = tmp_path / str(seed)

        def late(source, target, root=root):
            monkeypatch.setattr(files.os, "rename", rename)
            shutil.copytree(tmp_path / "theirs", root)
            rename(source, target)

        monkeypatch.setattr(files.os, "rename", late)
        if seed:
            with pytest.raises(InputError, match="holds something else"):
                toy.write(root, seed=seed, **options)
        else:
            assert not toy.write(root, seed=seed, **options)
        assert len(Photos(root, "train")) == 3


def test_what_a_killed_process_has_left_is_removed_when_it_is_old(tmp_path):
    for name, age in ((".toy.1.part", 2 * files.ABANDONED_AFTER), (".toy.2.part", 0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "photo.jpg").write_bytes(b"half")
        for path in (folder / "photo.jpg", folder):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    with files.atomic_folder(tmp_path / "toy") as aside:
        (aside / "labels.txt").write_text("background\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".toy.2.part", "toy"]


def test_the_folder_one_is_in_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(InputError, match="the folder that you are in"),
        files.atomic_folder(Path(".")),
    ):
        pass
