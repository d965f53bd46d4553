"""``--dry-run``: says what there is and what would be made, and changes nothing."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.small_runs import small_recipe
from tests.test_house import ROOT
from wsss_lib.data import layout
from wsss_lib.data.layout import MASKS, InputError
from wsss_lib.pipeline import estimate, outlook
from wsss_lib.pipeline.make import make_stages, opened
from wsss_lib.pipeline.outlook import dry_run
from wsss_lib.recipes import toy_quick


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Rates are not measured."""
    monkeypatch.setattr(estimate.Effort, "_rate", lambda *_: 1e9)


def lines_of(text) -> dict[str, str]:
    """The line of each stage."""
    return {line.split()[0]: line for line in text.splitlines() if line.strip()}


def everything(folder) -> dict:
    """All files, and when they were changed."""
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_of_a_new_run_everything_will_be_made_and_nothing_is(own_root, tmp_path):
    recipe = small_recipe(own_root)
    dry_run(recipe, tmp_path / "run", ["seeds"])  # the index of the photos may be written
    before = everything(tmp_path)
    text = dry_run(recipe, tmp_path / "run", list(recipe.stages))
    assert everything(tmp_path) == before
    lines = lines_of(text)
    for name in recipe.stages:
        assert lines[name].endswith("will be made")
        assert " s " in lines[name] and "MB" in lines[name]
    assert "free on the disk" in lines["together"] and "estimates" in text


def test_only_what_a_target_needs_is_listed(tiny_root, tmp_path):
    recipe = small_recipe(tiny_root)
    lines = lines_of(dry_run(recipe, tmp_path / "run", ["seeds"]))
    assert {"classifier", "advcam", "seeds"} == lines.keys() & recipe.stages.keys()


def test_what_there_is_of_a_stage(tiny_root, tmp_path):
    recipe, folder = small_recipe(tiny_root), tmp_path / "run"
    work = make_stages(recipe, folder, targets=["cam_masks"], progress=False)
    work.run.undo("cam_masks")
    other = replace(recipe, cam=replace(recipe.cam, scales=(0.5,)))
    before = everything(tmp_path)
    lines = lines_of(dry_run(recipe, folder, ["cam_masks", "advcam"]))
    assert lines["classifier"].endswith("  done") and lines["cam_masks"].endswith("goes on")
    assert lines["advcam"].endswith("will be made")
    lines = lines_of(dry_run(other, folder, ["cam_masks"]))
    assert lines["cam"].endswith("needs --again: cam.scales was [1.0], now [0.5]")
    lines = lines_of(dry_run(other, folder, ["cam"], again=True))
    assert "will be made anew: cam.scales" in lines["cam"]
    lines = lines_of(dry_run(recipe, tmp_path / "new", ["advcam", "cam"], reuse=[folder]))
    assert lines["cam"].endswith(f"taken over from {folder}")
    assert lines["advcam"].endswith("will be made")
    text = dry_run(recipe, folder, ["cam"])
    assert "nothing left to make" in text and "together" not in text
    assert everything(tmp_path) == before


def test_it_is_refused_as_the_run_would_be(own_root, tmp_path):
    recipe = small_recipe(own_root)

    def refused(recipe, *words, reuse=()):
        with pytest.raises(InputError) as said:
            dry_run(recipe, tmp_path / "run", list(recipe.stages), reuse)
        assert all(word in str(said.value) for word in words), said.value

    refused(replace(recipe, weights="nowhere.pth"), "nowhere.pth")
    refused(replace(recipe, data=replace(recipe.data, train="trian")), "trian.txt")
    refused(recipe, "holds no run", reuse=[tmp_path / "none"])
    file = own_root / MASKS / "val_3.png"
    layout.write_mask(file, layout.read_labels(file)[:-1])
    refused(recipe, "val_3.png", "at the size of the photo")
    assert not (tmp_path / "run").exists()


def test_photos_that_would_be_drawn_are_said_and_stood_for(tmp_path, monkeypatch):
    """They cost what they cost when they are there; what is drawn meanwhile is gone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outlook, "SKETCHES", 5)
    recipe, names = toy_quick(), ["classifier", "cam"]
    text = dry_run(recipe, tmp_path / "run", names)
    assert "data/toy-quick is not there: 112 photos of 64 x 64 pixels would be drawn" in text
    assert not list(tmp_path.iterdir())
    drawn = dry_run_when_drawn(recipe, tmp_path)
    for name in names:
        assert lines_of(text)[name] == lines_of(drawn)[name]


def dry_run_when_drawn(recipe, folder) -> str:
    opened(recipe, folder / "run", False)
    return dry_run(recipe, folder / "run", ["classifier", "cam"])


def test_what_was_made_of_photos_that_are_gone_is_not_judged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/stages").mkdir(parents=True)
    (tmp_path / "run/stages/classifier.json").write_text('{"key": "abc", "done": true}')
    lines = lines_of(dry_run(toy_quick(), tmp_path / "run", ["cam"]))
    assert lines["classifier"].endswith("known when the photos are there")
    assert lines["cam"].endswith("will be made")


def test_a_folder_in_the_way_of_the_drawing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/toy-quick").mkdir(parents=True)
    (tmp_path / "data/toy-quick/mine.txt").write_text("")
    with pytest.raises(InputError, match="already holds something else"):
        dry_run(toy_quick(), tmp_path / "run", ["cam"])


@pytest.mark.parametrize("drawn", [False, True])
def test_of_two_processes_one_speaks(drawn, tmp_path):
    if drawn:
        recipe = toy_quick()
        data = replace(recipe.data, root=str(tmp_path / "data/toy-quick"))
        opened(replace(recipe, data=data), tmp_path / "run", False)
    command = "--nproc-per-node 2 -m wsss_lib cam toy-quick --dry-run".split()
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("together") == 1 and "2 processes" in done.stdout
    assert not (tmp_path / "runs").exists()
