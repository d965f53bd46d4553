"""Too little memory is said before the first stage; where only the system knows, in one sentence."""

import json
import os
from dataclasses import replace

import pytest
import torch

from tests.small_runs import small_recipe
from wsss_lib.data.layout import InputError
from wsss_lib.pipeline import estimate, memory
from wsss_lib.pipeline.make import make_stages, opened
from wsss_lib.pipeline.processes import map_processes
from wsss_lib.pipeline.rehearsal import memory_is_said
from wsss_lib.pipeline.stages.classifier import ClassifierStage


def refused(recipe, folder, *words, **more) -> None:
    """Refused with the words, and before anything is there."""
    with pytest.raises(InputError) as said:
        make_stages(recipe, folder, progress=False, **more)
    assert all(word in str(said.value) for word in words), said.value
    assert not folder.exists()


def test_a_stage_that_needs_more_than_there_is_is_refused(tiny_root, tmp_path, monkeypatch):
    recipe = small_recipe(tiny_root)
    monkeypatch.setattr(memory, "memory", lambda: memory.PROGRAM + 1e5)
    refused(recipe, tmp_path / "run", "classifier: about", "--classifier.training.accumulate")
    work = opened(recipe, tmp_path / "run", False)
    with pytest.raises(InputError, match=r"^cam: .*: lower --cam.batch-pixels$"):
        memory.refuse_small_memory(work.of("cam"))
    alone = replace(recipe, cam=replace(recipe.cam, batch_pixels=1))
    work = opened(alone, tmp_path / "run", False)
    with pytest.raises(InputError, match=r"cam: .* one photo of .* pixels .*--max-side 1000"):
        memory.refuse_small_memory(work.of("cam"))
    memory.refuse_small_memory(work.of("seeds"))


def test_what_is_counted_is_what_is_estimated(tiny_root, tmp_path, monkeypatch):
    needed, count = {}, memory.Weighed

    def noted(work):
        needed[work.name] = count(work)
        return needed[work.name]

    monkeypatch.setattr(memory, "Weighed", noted)
    monkeypatch.setattr(estimate.Effort, "_rate", lambda *_: 1e9)
    work = opened(small_recipe(tiny_root), tmp_path / "run", False)
    for name in work.recipe.stages:
        memory.refuse_small_memory(work.of(name))
        assert needed[name].memory == estimate.estimated(work.of(name)).memory
    assert needed["segmenter"].memory > 1e6


def test_processes_share_the_memory_of_a_machine(monkeypatch, tmp_path):
    whole = memory.memory()
    assert 1e8 < whole < 1e15
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert memory.memory() == whole / 4
    (tmp_path / "limit").write_text("4000000\n")
    (tmp_path / "none").write_text("max\n")
    files = [str(tmp_path / name) for name in ("none", "limit", "missing")]
    monkeypatch.setattr(memory, "CGROUPS", files)
    assert memory.memory() == 1e6


@pytest.mark.parametrize("short", ["PyTorch", "Python", "a worker"])
def test_memory_that_does_not_do_on_the_way_is_said(short, tiny_root, tmp_path, monkeypatch):
    def make(*_):
        if short == "Python":
            raise MemoryError
        if short == "a worker":
            list(map_processes(os._exit, [(9,), (9,)], processes=2))
        torch.empty(2**52)

    monkeypatch.setattr(ClassifierStage, "make", make)
    with pytest.raises(InputError, match="classifier: .*(memory does not do|worker process)"):
        make_stages(small_recipe(tiny_root), tmp_path / "run", targets=["cam"], progress=False)
    mark = json.loads((tmp_path / "run/stages/classifier.json").read_text())
    assert mark["done"] is False


def test_another_error_is_not_taken_for_a_lack_of_memory():
    with pytest.raises(RuntimeError, match="another"), memory_is_said("cam"):
        raise RuntimeError("another")
