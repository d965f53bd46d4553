"""A run's folder: whole files, honest marks, and the same end after being killed anywhere."""

import dataclasses
import errno
import json
import multiprocessing
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from wsss_lib.data.files import atomic
from wsss_lib.data.layout import InputError
from wsss_lib.data.maps import load_map, save_map
from wsss_lib.learning.checkpoints import Checkpoint
from wsss_lib.pipeline import runs
from wsss_lib.pipeline.runs import Run, difference, full_disk_is_said


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    epochs: int = 12
    rates: tuple[float, ...] = (0.1, 0.01)
    root: Path = Path("data/toy")


@pytest.fixture
def run(tmp_path):
    return started(tmp_path / "run", {"classifier": Settings()}, seed=3)


def started(folder, recipe, **options) -> Run:
    run = Run(folder)
    run.start(recipe, **options)
    return run


def everything(folder: Path) -> dict[str, bytes]:
    """All files of a run, but for the dates and the number of starts."""
    return {
        str(file.relative_to(folder)): re.sub(
            rb',?\s*"(starts|digest)": "?\w+"?', b"", file.read_bytes()
        )
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "provenance.json"
    }


# files that are whole or not there


def test_atomic_keeps_the_old_file_when_the_block_fails(tmp_path):
    file = tmp_path / "a" / "numbers.json"
    with atomic(file) as aside:
        aside.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic(file) as aside:
        aside.write_text("half of the ne")
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def _fill_the_disk(folder, state):
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    run = Run(folder)
    try:
        with full_disk_is_said(run.folder):
            run.begin("cam", "key", {}, ["maps/cam"])
            save_map(run.folder / "maps/cam/a.npz", [0], torch.rand(1, 9, 9), (9, 9))
            if state:
                alone = SimpleNamespace(scaler=None, is_main_process=True)
                model = torch.nn.Linear(300, 300)
                optimizer = torch.optim.SGD(model.parameters())
                Checkpoint(run.folder / "checkpoints", model, optimizer, alone).save(1)
            save_map(run.folder / "maps/cam/b.npz", [0], torch.rand(1, 500, 500), (500, 500))
    except InputError as error:
        (folder / "said").write_text(str(error))


@pytest.mark.parametrize("state", [False, True])
def test_a_full_disk_is_one_sentence_and_what_is_finished_stays(run, state):
    process = multiprocessing.get_context("fork").Process(
        target=_fill_the_disk, args=(run.folder, state)
    )
    process.start()
    process.join()
    assert "disk is full" in (run.folder / "said").read_text()
    assert [file.name for file in (run.folder / "maps/cam").iterdir()] == ["a.npz"]
    assert not list(run.folder.rglob("*.part"))
    assert not run.fresh("cam", "key")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_quota_is_a_disk_too(run, number):
    with pytest.raises(InputError, match="disk is full"), full_disk_is_said(run.folder):
        raise OSError(number, os.strerror(number))


def test_other_errors_pass_unchanged(run):
    with pytest.raises(PermissionError), full_disk_is_said(run.folder):
        raise PermissionError(errno.EACCES, "no")


# recipes and provenance


def test_a_run_remembers_its_recipe(run):
    expected = {"epochs": 12, "rates": [0.1, 0.01], "root": "data/toy"}
    assert Run(run.folder).recipe == {"classifier": expected}


def test_a_changed_recipe_is_noted_and_the_old_one_kept(run):
    run.start({"classifier": Settings()})
    assert "recipe_before" not in run.provenance["continued"][0]
    run.start({"classifier": Settings(epochs=3)})
    assert run.recipe["classifier"]["epochs"] == 3
    assert run.provenance["continued"][1]["recipe_before"]["classifier"]["epochs"] == 12


def test_a_difference_is_said_in_words():
    old, new = {"a": 1, "cam": {"steps": 3, "x": [1, 2]}}, {"a": 1, "cam": {"steps": 3, "x": [1]}}
    assert difference(old, new) == "cam.x was [1, 2], now [1]"
    assert difference(old, new, "advcam") == "advcam.cam.x was [1, 2], now [1]"
    assert difference(old, old) == ""


def test_no_run_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        Run.existing(tmp_path / "nothing")


def test_provenance_names_versions_code_and_every_start(run):
    run.start({"classifier": Settings()}, seed=3)
    provenance = run.provenance
    assert provenance["torch"] == torch.__version__
    assert provenance["seed"] == 3
    assert {"python", "torchvision", "numpy", "wsss_lib", "commit", "dirty"} <= set(provenance)
    assert {"device", "platform", "cpu_count", "command", "date"} <= set(provenance)
    assert len(provenance["continued"]) == 1


def test_half_written_files_of_a_killed_process_are_removed_once_they_are_old(run):
    old, young = run.folder / ".old.npz.1.part", run.folder / ".young.npz.2.part"
    for file in (old, young):
        file.write_text("half")
    os.utime(old, (time.time() - 7200,) * 2)
    run.start({"classifier": Settings()})
    assert not old.exists() and young.exists()


# stages


def begin(run, key="key"):
    run.begin("cam", key, {"settings": key}, ["maps/cam"], {"title": "CAM"})


def make_cam(run, key="key", number=0.5):
    """Two maps and a number, as a stage makes them: files that are there already stay."""
    begin(run, key)
    for name in "ab":
        file = run.folder / f"maps/cam/{name}.npz"
        if not file.exists():
            save_map(file, [0], torch.full((1, 2, 2), number), (4, 4))
    run.finish("cam", key, {"miou": number}, 1.5)


def kept(run) -> list[float]:
    return load_map(run.folder / "maps/cam/a.npz")[1].unique().tolist()


def test_figures_are_standard_json_and_exact(run):
    begin(run)
    figures = {
        "miou": 0.1 + 0.2,
        "iou": {"cat": float("nan")},
        "tensor": torch.ones(2),
        "more": np.float64(1 / 3),
        "curve": [(0.5, 1)],
    }
    run.finish("cam", "key", figures, 1.0)

    def refuse(word):
        raise AssertionError(word)

    text = (run.folder / "stages/cam.json").read_text()
    found = json.loads(text, parse_constant=refuse)["figures"]
    assert found["miou"] == 0.1 + 0.2 and found["more"] == 1 / 3
    assert found["iou"] == {"cat": None}
    assert found["tensor"] == [1, 1] and found["curve"] == [[0.5, 1]]
    assert run.figures(["cam", "amn"]) == {"cam": found}


def test_what_json_cannot_hold_is_refused(run):
    begin(run)
    with pytest.raises(TypeError):
        run.finish("cam", "key", {"thing": object()}, 1.0)
    assert run.figures(["cam"]) == {}


def test_a_stage_is_done_under_its_own_fingerprint_only(run):
    assert not run.fresh("cam", "key")
    make_cam(run)
    assert run.fresh("cam", "key")
    assert not run.fresh("cam", "other")
    assert run.mark("cam")["figures"] == {"miou": 0.5, "seconds": 1.5}
    assert run.mark("cam")["of"] == {"settings": "key"}


def test_seconds_of_a_stage_that_was_interrupted_say_so(run):
    begin(run)
    begin(run)
    make_cam(run)
    assert run.mark("cam")["figures"]["starts"] == 3


def test_a_stage_whose_files_are_gone_is_not_done(run):
    make_cam(run)
    for file in (run.folder / "maps/cam").iterdir():
        file.unlink()
    (run.folder / "maps/cam").rmdir()
    assert not run.fresh("cam", "key")


def test_a_stage_can_be_undone_and_keeps_its_files(run):
    make_cam(run)
    run.undo("cam")
    assert not run.fresh("cam", "key") and kept(run) == [0.5]
    make_cam(run, number=0.75)
    assert run.fresh("cam", "key") and kept(run) == [0.5]


def test_the_maker_of_a_file_is_known(run, tmp_path, monkeypatch):
    make_cam(run)
    run.begin("net", "key", {}, ["checkpoints/net", "checkpoints/net.safetensors"])
    assert run.maker(run.folder / "maps/cam/a.npz") == "cam"
    assert run.maker(run.folder / "checkpoints/net.safetensors") == "net"
    assert run.maker(run.folder / "maps/camera/a.npz") is None
    assert run.maker(tmp_path / "maps/cam/a.npz") is None
    monkeypatch.chdir(run.folder)
    assert run.maker(Path("maps/cam/a.npz")) == "cam"


def test_begun_under_another_fingerprint_nothing_older_is_kept(run):
    make_cam(run, "old", 0.25)
    begin(run, "new")
    assert not (run.folder / "maps/cam").exists()
    assert run.figures(["cam"]) == {}
    make_cam(run, "new", 0.75)
    assert kept(run) == [0.75]


def test_files_of_unknown_origin_are_never_kept(run):
    save_map(run.folder / "maps/cam/a.npz", [0], torch.full((1, 2, 2), 0.125), (4, 4))
    make_cam(run)
    assert kept(run) == [0.5]


def test_finishing_what_has_not_begun_is_an_error(run):
    with pytest.raises(RuntimeError):
        run.finish("cam", "key", {}, 1.0)


def test_killed_at_any_step_and_started_again_ends_the_same(tmp_path, monkeypatch):
    """Kills the making of a stage over an older one before each change of the disk, then starts it again."""

    class Killed(BaseException):
        pass

    def killable(function, left):
        def counted(*arguments, **options):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return function(*arguments, **options)

        return counted

    def start(folder, steps):
        """Makes the old stage whole, then the new one until killed; says whether it was."""
        run = started(folder, {})
        make_cam(run, "old", 0.25)
        left = [steps]
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killable(os.replace, left))
            patch.setattr(runs, "remove", killable(runs.remove, left))
            patch.setattr(Path, "unlink", killable(Path.unlink, left))
            try:
                make_cam(run, "new", 0.75)
            except Killed:
                return True
        return False

    assert not start(tmp_path / "undisturbed", 1000)
    expected = everything(tmp_path / "undisturbed")
    steps = 0
    while start(folder := tmp_path / str(steps), steps):
        run = started(folder, {})
        for file in folder.rglob(".*.part"):  # a real kill leaves them; they are in nobody's way
            file.unlink()
        if not run.fresh("cam", "new"):
            make_cam(run, "new", 0.75)
        assert everything(folder) == expected, f"killed at step {steps}"
        steps += 1
    assert steps >= 6


# taking over


def test_a_finished_stage_is_taken_over_from_another_run(run, tmp_path):
    make_cam(run)
    other = started(tmp_path / "other", {"classifier": Settings(), "more": 1})
    assert not other.reuse(run, "cam", "another key")
    assert other.reuse(run, "cam", "key")
    assert other.fresh("cam", "key") and kept(other) == [0.5]
    figures = other.mark("cam")["figures"]
    assert figures == {"miou": 0.5, "seconds": 1.5, "reused_from": "run"}
    assert other.mark("cam")["shown"] == {"title": "CAM"}
    assert (run.folder / "maps/cam/a.npz").samefile(other.folder / "maps/cam/a.npz")


def test_an_unfinished_stage_is_taken_over_as_far_as_it_is(run, tmp_path):
    make_cam(run)
    run.undo("cam")
    (run.folder / "maps/cam/b.npz").unlink()
    other = started(tmp_path / "other", {})
    assert not other.reuse(run, "cam", "key")
    assert not other.fresh("cam", "key") and kept(other) == [0.5]
    make_cam(other, number=0.75)
    assert kept(other) == [0.5]


def test_without_links_files_are_copied(run, tmp_path, monkeypatch):
    def no_link(source, target):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", no_link)
    make_cam(run)
    other = started(tmp_path / "other", {})
    assert other.reuse(run, "cam", "key")
    a = (run.folder / "maps/cam/a.npz", other.folder / "maps/cam/a.npz")
    assert a[0].read_bytes() == a[1].read_bytes() and not a[0].samefile(a[1])


def test_runs_that_share_files_stay_independent(run, tmp_path):
    make_cam(run)
    (run.folder / "maps/cam/log.jsonl").write_text("1\n")
    other = started(tmp_path / "other", {})
    other.reuse(run, "cam", "key")
    save_map(other.folder / "maps/cam/a.npz", [0], torch.ones(1, 2, 2), (4, 4))
    with (other.folder / "maps/cam/log.jsonl").open("a") as log:  # the one file that is written on
        log.write("2\n")
    assert kept(run) == [0.5] and (run.folder / "maps/cam/log.jsonl").read_text() == "1\n"
    begin(other, "new")
    assert kept(run) == [0.5] and run.fresh("cam", "key")
