import contextlib
import shutil
from dataclasses import replace

import pytest
import torch

from tests.small_runs import figures, files, small_recipe
from wsss_lib.data import files as file_writing
from wsss_lib.data.layout import MASKS, InputError, write_annotation
from wsss_lib.learning.storage import load_state
from wsss_lib.pipeline import make as pipeline
from wsss_lib.pipeline import stages
from wsss_lib.pipeline.make import in_order, run_stages
from wsss_lib.recipes import toy

MADE = (".npz", ".png", ".safetensors")


@pytest.fixture(scope="module")
def reference(tiny_root, tmp_path_factory):
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "reference"
    run_stages(small_recipe(tiny_root), folder, progress=False)
    return folder


def test_a_run_leaves_maps_masks_metrics_and_a_report(reference):
    made = files(reference, *MADE)
    for folder in (
        "maps/cam",
        "maps/advcam",
        "maps/amn",
        "seeds",
        "pseudo_masks/cam",
        "pseudo_masks/advcam",
        "pseudo_masks/amn",
    ):
        assert sum(name.startswith(folder + "/") for name in made) == 8, folder
    for folder in ("predictions/segmenter", "predictions/supervised"):
        assert sum(name.startswith(folder + "/") for name in made) == 4, folder
    metrics = figures(reference)
    for stage, name in [
        ("classifier", "val_map"),
        ("cam", "miou"),
        ("cam", "threshold"),
        ("cam", "miou_best_per_image"),
        ("advcam", "miou"),
        ("seeds", "miou"),
        ("amn", "miou"),
        ("amn", "absent_foreground"),
        ("amn", "band"),
        ("pseudo_masks", "miou"),
        ("segmenter", "val_miou"),
        ("segmenter", "supervised_val_miou"),
    ]:
        assert 0 <= metrics[stage][name] <= 1, (stage, name)
    assert (reference / "report.html").stat().st_size > 10_000
    assert not list(reference.rglob("*.pt")) and not list(reference.rglob("*.part"))


def test_weakly_supervised_stages_cannot_see_a_mask(reference, own_root, tmp_path):
    shutil.rmtree(own_root / MASKS)
    blind = tmp_path / "blind"
    run_stages(small_recipe(own_root), blind, progress=False)
    seen = {n: b for n, b in files(reference, *MADE).items() if "supervised" not in n}
    assert files(blind, *MADE) == seen
    assert set(figures(blind)["cam"]) == set()
    assert figures(blind)["classifier"] == figures(reference)["classifier"]


@pytest.mark.parametrize("first", [1, 5, 9])
def test_a_run_that_is_killed_again_and_again_ends_the_same(
    reference, tiny_root, tmp_path, monkeypatch, first
):
    replace_file = file_writing.os.replace
    state = {"writes": 0, "dies at": first, "kills": 0}

    def dying(source, target):
        state["writes"] += 1
        if state["writes"] == state["dies at"]:
            state["kills"] += 1
            state["dies at"] += 11 + state["kills"]  # a little further each time
            raise KeyboardInterrupt
        replace_file(source, target)

    monkeypatch.setattr(file_writing.os, "replace", dying)
    for _ in range(50):
        with contextlib.suppress(KeyboardInterrupt):
            run_stages(small_recipe(tiny_root), tmp_path / "run", progress=False)
            break
    assert state["kills"] > 5
    assert files(tmp_path / "run", *MADE) == files(reference, *MADE)
    assert figures(tmp_path / "run") == figures(reference)


def test_a_finished_run_does_nothing_again(reference, tiny_root, tmp_path, monkeypatch):
    folder = shutil.copytree(reference, tmp_path / "run")
    for name, stage in pipeline.STAGES.items():
        forbidden = replace(stage, make=lambda work: pytest.fail("made again"))
        monkeypatch.setitem(pipeline.STAGES, name, forbidden)
    run_stages(small_recipe(tiny_root), folder, progress=False)
    assert figures(folder) == figures(reference)


def test_a_damaged_map_is_made_again(reference, tiny_root, tmp_path):
    folder = shutil.copytree(reference, tmp_path / "run")
    damaged = sorted((folder / "maps/advcam").iterdir())[3]
    damaged.write_bytes(damaged.read_bytes()[:100])
    recipe = small_recipe(tiny_root)
    recipe = replace(recipe, seeds=replace(recipe.seeds, advcam=(0.6, 0.4)))
    shutil.rmtree(folder / "stages")  # as if it had been stopped before any stage was marked
    (folder / "recipe.json").unlink()
    run_stages(small_recipe(tiny_root), folder, progress=False)
    assert files(folder, *MADE) == files(reference, *MADE)


def test_a_map_damaged_after_its_stage_was_done_is_made_again(reference, tiny_root, tmp_path):
    folder = shutil.copytree(reference, tmp_path / "run")
    damaged = sorted((folder / "maps/advcam").iterdir())[3]
    damaged.write_bytes(b"")
    (folder / "stages/seeds.json").unlink()
    shutil.rmtree(folder / "seeds")
    run_stages(small_recipe(tiny_root), folder, progress=False)
    assert files(folder, *MADE) == files(reference, *MADE)


def test_another_run_takes_over_what_is_the_same(reference, tiny_root, tmp_path, monkeypatch):
    recipe = small_recipe(tiny_root)
    recipe = replace(recipe, seeds=replace(recipe.seeds, source="cam"))
    for name in ("classifier", "cam", "advcam", "supervised"):
        stage = pipeline.STAGES[name]
        monkeypatch.setitem(
            pipeline.STAGES, name, replace(stage, make=lambda work: pytest.fail("made again"))
        )
        # seeds look over the maps they read: that is not making them
    monkeypatch.setitem(
        pipeline.STAGES, "cam", replace(pipeline.STAGES["cam"], make=stages.make_cam)
    )
    monkeypatch.setitem(
        pipeline.STAGES, "advcam", replace(pipeline.STAGES["advcam"], make=stages.make_advcam)
    )
    monkeypatch.setitem(
        pipeline.STAGES,
        "classifier",
        replace(pipeline.STAGES["classifier"], make=stages.make_classifier),
    )
    run_stages(recipe, tmp_path / "run", reuse=[reference], progress=False)
    theirs, ours = files(reference, ".npz"), files(tmp_path / "run", ".npz")
    assert all(ours[n] == b for n, b in theirs.items() if "amn" not in n)
    assert any(ours[n] != b for n, b in theirs.items() if "amn" in n)


def test_only_what_depends_on_a_change_is_made_again(reference, tiny_root, tmp_path):
    recipe = small_recipe(tiny_root)
    changed = replace(recipe, thresholds=replace(recipe.thresholds, amn=0.2))
    run = run_stages(changed, tmp_path / "run", reuse=[reference], progress=False)
    taken = {s for s, values in run.metrics().items() if "reused_from" in values}
    assert taken == {"classifier", "cam", "advcam", "seeds", "amn", "supervised"}


def test_what_is_half_made_is_not_measured(reference, tiny_root, tmp_path):
    folder = shutil.copytree(reference, tmp_path / "run")
    sorted((folder / "maps/advcam").iterdir())[3].unlink()
    (folder / "stages/advcam.json").unlink()
    run_stages(small_recipe(tiny_root), folder, targets=["cam"], progress=False)
    assert figures(folder)["cam"] == figures(reference)["cam"]


def test_stages_come_in_order_with_what_they_need():
    recipe = toy()
    assert in_order(recipe, ["seeds"]) == ["classifier", "advcam", "seeds"]
    cam = replace(recipe, seeds=replace(recipe.seeds, source="cam"))
    assert in_order(cam, ["seeds"]) == ["classifier", "cam", "seeds"]
    without = replace(recipe, segmenter=replace(recipe.segmenter, supervised=False))
    assert "supervised" not in in_order(without, list(pipeline.STAGES))


def test_photos_without_a_tag_are_left_out_and_counted(own_root, tmp_path):
    write_annotation(own_root / "Annotations/train_2.xml", id="train_2", size_HW=(8, 8), objects=[])
    run = run_stages(small_recipe(own_root), tmp_path / "run", targets=["cam"], progress=False)
    assert run.metrics()["classifier"]["untagged"] == 1
    assert not (run.maps("cam") / "train_2.npz").exists()
    assert len(list(run.maps("cam").iterdir())) == 7


def test_a_checkpoint_of_another_architecture_is_refused(reference, tiny_root, tmp_path):
    from wsss_lib.learning.backbones import backbone
    from wsss_lib.methods.cam import Classifier

    model = Classifier(backbone("mobilenet_v2", output_stride=16), 3)
    with pytest.raises(InputError, match="classifier.safetensors belong to another network"):
        load_state(reference / "checkpoints/classifier.safetensors", model)


def test_amn_conditions_and_sources_can_be_changed(tiny_root, reference, tmp_path):
    recipe = small_recipe(tiny_root)
    changed = replace(
        recipe,
        amn=replace(recipe.amn, condition_stage=None, balanced=False, smoothing=0.0, gate=True),
        segmenter=replace(
            recipe.segmenter, source="cam", supervised=False, refine=True, train_scales=(0.5,)
        ),
    )
    run = run_stages(changed, tmp_path / "run", reuse=[reference], progress=False)
    assert not any("gain" in name for name in torch_names(run.checkpoints / "amn.safetensors"))
    assert run.metrics()["segmenter"]["source"] == "cam"
    assert "supervised" not in run.metrics()


def torch_names(file):
    import safetensors.torch

    return list(safetensors.torch.load_file(file))


def test_device_and_seed_are_noted(reference):
    import json

    made = json.loads((reference / "provenance.json").read_text())
    assert made["torch"] == torch.__version__ and made["seed"] == 0 and made["device"]
