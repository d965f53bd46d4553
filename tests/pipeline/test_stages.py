"""What every stage has to stand: it is killed, damaged, taken over, made twice, and made by two processes."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.small_runs import files, small_recipe
from tests.test_house import ROOT
from wsss_lib.data import files as file_writing
from wsss_lib.data.layout import InputError
from wsss_lib.pipeline.kinds import NETWORK
from wsss_lib.pipeline.make import make_stages, run_stages
from wsss_lib.pipeline.runs import Run
from wsss_lib.recipes import Segmentation, toy

MADE = (".npz", ".png", ".safetensors")
STAGES = list(toy().stages)
LEARNING = [name for name in STAGES if NETWORK in toy().stages[name].makes]


def recipe_of(root) -> Segmentation:
    """Every stage briefly, and so that two processes learn what one learns: without dropout, by SGD.

    Adam divides a gradient by its own size, and so makes rounding as large as a step where there is hardly a gradient.
    """
    recipe = small_recipe(root)

    def by_sgd(stage, **more):
        training = replace(stage.training, optimizer="sgd", backbone_lr=0.01, head_lr=0.01)
        return replace(stage, training=training, **more)

    return replace(
        recipe,
        classifier=by_sgd(recipe.classifier),
        amn=by_sgd(recipe.amn, dropout=0.0, gate=True),
        segmenter=by_sgd(recipe.segmenter, train_scales=(0.5,), refine=True),
    )


@pytest.fixture(scope="module")
def reference(tiny_root, tmp_path_factory):
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "reference"
    run_stages(recipe_of(tiny_root), folder, progress=False)
    return folder


def behind(recipe, stage) -> list[str]:
    """The stage and all that are made from it."""
    return [name for name in recipe.stages if stage in recipe.in_order([name])]


def without(reference, folder, recipe, stage) -> Path:
    """A copy of the run in which the stage, and what is made from it, is still to do."""
    shutil.copytree(reference, folder)
    for name in behind(recipe, stage):
        run = Run(folder)
        for output in run.mark(name)["outputs"]:
            path = folder / output
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (folder / "stages" / f"{name}.json").unlink()
    return folder


def own(folder, stage) -> dict[str, bytes]:
    """The files that the stage has made."""
    outputs = Run(folder).mark(stage)["outputs"]
    return {n: b for n, b in files(folder, *MADE).items() if n.startswith(tuple(outputs))}


def measured(folder, stage) -> dict:
    """Its figures, without the times."""
    figures = Run(folder).mark(stage)["figures"]
    return {k: v for k, v in figures.items() if k not in ("seconds", "starts", "reused_from")}


def same(folder, reference, stage) -> None:
    assert own(folder, stage) == own(reference, stage) != {}
    assert measured(folder, stage) == measured(reference, stage)


@pytest.mark.parametrize("stage", STAGES)
def test_made_again_it_is_the_same(stage, reference, tiny_root, tmp_path):
    recipe = recipe_of(tiny_root)
    folder = without(reference, tmp_path / "run", recipe, stage)
    make_stages(recipe, folder, targets=[stage], progress=False)
    same(folder, reference, stage)


@pytest.mark.parametrize("first", [1, 4])
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_any_moment_it_ends_the_same(
    stage, first, reference, tiny_root, tmp_path, monkeypatch
):
    recipe = recipe_of(tiny_root)
    folder = without(reference, tmp_path / "run", recipe, stage)
    replace_file, state = os.replace, {"writes": 0, "dies at": first, "kills": 0}

    def dying(source, target):
        state["writes"] += 1
        if state["writes"] == state["dies at"]:
            state["kills"] += 1
            state["dies at"] += 6 + state["kills"]  # a little further each time
            raise KeyboardInterrupt
        replace_file(source, target)

    monkeypatch.setattr(file_writing.os, "replace", dying)
    for _ in range(20):
        with contextlib.suppress(KeyboardInterrupt):
            make_stages(recipe, folder, targets=[stage], progress=False)
            break
    assert state["kills"] >= 1
    same(folder, reference, stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_damaged_file_is_said_and_made_again(stage, reference, tiny_root, tmp_path):
    """Of a finished run: whoever reads the file marks its stage as not done."""
    recipe = recipe_of(tiny_root)
    reader = next((name for name in STAGES if stage in recipe.stages[name].needs(recipe)), None)
    if reader is None:
        pytest.skip("nobody reads it but the evaluation, which is part of the stage")
    folder = without(reference, tmp_path / "run", recipe, reader)
    read = [n for n in own(folder, stage) if not n.startswith("labels")]
    damaged = folder / sorted(read)[-1]
    damaged.write_bytes(damaged.read_bytes()[:50])
    with pytest.raises(InputError, match=f"{damaged.name}.* {stage} counts as not done"):
        make_stages(recipe, folder, targets=[reader], progress=False)
    make_stages(recipe, folder, targets=[reader], progress=False)
    same(folder, reference, stage)
    same(folder, reference, reader)


@pytest.mark.parametrize("stage", STAGES)
def test_another_run_takes_it_over(stage, reference, tiny_root, tmp_path, monkeypatch):
    for kind in {type(each) for each in recipe_of(tiny_root).stages.values()}:
        monkeypatch.setattr(kind, "make", lambda self, work: pytest.fail("made again"))
    folder = tmp_path / "run"
    make_stages(recipe_of(tiny_root), folder, targets=[stage], reuse=[reference], progress=False)
    same(folder, reference, stage)
    assert Run(folder).mark(stage)["figures"]["reused_from"] == "reference"


@pytest.mark.parametrize("stage", STAGES)
def test_what_another_run_has_begun_is_gone_on_with(stage, reference, tiny_root, tmp_path):
    """Its finished files are taken over, and only the rest is made."""
    recipe = recipe_of(tiny_root)
    other = Path(shutil.copytree(reference, tmp_path / "other"))
    Run(other).undo(stage)
    gone = other / sorted(own(other, stage))[0]
    gone.unlink()
    make_stages(recipe, tmp_path / "run", targets=[stage], reuse=[other], progress=False)
    kept = [n for n in own(reference, stage) if n != str(gone.relative_to(other))]
    assert all(
        (tmp_path / "run" / n).samefile(other / n) for n in kept if n.endswith(".safetensors")
    )
    same(tmp_path / "run", reference, stage)


@pytest.fixture(scope="module")
def by_two(reference, tiny_root, tmp_path_factory):
    """For each stage a run in which two processes made it, from what one process had made before."""
    folder, recipe = tmp_path_factory.mktemp("two"), recipe_of(tiny_root)
    for stage in STAGES:
        without(reference, folder / stage, recipe, stage)
    for stage in LEARNING:  # once more, with the weights that one process learned
        run = Run(Path(shutil.copytree(reference, folder / f"{stage}-looks")))
        run.undo(stage)
        for name in own(run.folder, stage):
            if not name.endswith(".safetensors"):
                (run.folder / name).unlink()
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    script = [str(Path(__file__).with_name("by_two_processes.py")), str(tiny_root), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("stage", [name for name in STAGES if name not in LEARNING])
def test_two_processes_make_the_same_files(stage, by_two, reference):
    same(by_two / stage, reference, stage)
    starts = json.loads((by_two / stage / "provenance.json").read_text())["continued"]
    assert starts[-1]["processes"] == 2


@pytest.mark.parametrize("stage", LEARNING)
def test_two_processes_with_the_same_weights_make_the_same_files(stage, by_two, reference):
    same(by_two / f"{stage}-looks", reference, stage)


@pytest.mark.parametrize("stage", LEARNING)
def test_two_processes_learn_what_one_learns(stage, by_two, reference):
    one = load_file(reference / f"checkpoints/{stage}.safetensors")
    two = load_file(by_two / stage / f"checkpoints/{stage}.safetensors")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=2e-5, msg=name)
