"""What is made, in which order, and what is never removed unasked."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.small_runs import figures, files, small_recipe
from wsss_lib.data import layout
from wsss_lib.data.layout import ANNOTATIONS, MASKS, PHOTOS, InputError
from wsss_lib.learning.backbones import backbone
from wsss_lib.learning.storage import load_state
from wsss_lib.methods.cam import Classifier
from wsss_lib.pipeline.make import make_stages, opened, plan, run_stages
from wsss_lib.pipeline.runs import Run
from wsss_lib.pipeline.stages.cam import CamStage
from wsss_lib.pipeline.stages.segmenter import SegmenterStage

MADE = (".npz", ".png", ".safetensors")
TRAIN = ("maps/cam", "maps/advcam", "maps/amn", "labels/amn", "masks/seeds")
TRAIN += ("masks/cam_masks", "masks/advcam_masks", "masks/amn_masks")


@pytest.fixture(scope="module")
def reference(tiny_root, tmp_path_factory):
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "reference"
    run_stages(small_recipe(tiny_root), folder, progress=False)
    return folder


@pytest.fixture
def again(reference, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(reference, tmp_path / "run"))


def states(recipe, folder, **others) -> dict[str, str]:
    return {each.name: each.state for each in plan(opened(recipe, folder, False), **others)}


def test_a_run_leaves_maps_masks_metrics_and_a_report(reference):
    made = files(reference, *MADE)
    for folder in TRAIN:
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
        ("amn_masks", "miou"),
        ("segmenter", "val_miou"),
        ("supervised", "val_miou"),
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


def test_a_finished_run_does_nothing_again(reference, again, tiny_root, monkeypatch):
    recipe = small_recipe(tiny_root)
    for kind in {type(each) for each in recipe.stages.values()}:
        monkeypatch.setattr(kind, "make", lambda self, work: pytest.fail("made again"))
    monkeypatch.setattr(
        "wsss_lib.pipeline.evaluation.sweep_maps", lambda *_: pytest.fail("measured again")
    )
    run_stages(recipe, again, progress=False)
    assert figures(again) == figures(reference)


def test_the_figures_live_in_the_marks(reference, again, tiny_root):
    """A metrics.json that is lost or damaged loses nothing."""
    (again / "metrics.json").write_text("{")
    make_stages(small_recipe(tiny_root), again, progress=False)
    assert figures(again) == figures(reference)


def test_a_later_stage_alone_loses_no_figure(reference, again, tiny_root):
    """The band of AMN compares it with CAM, which is not made in this call."""
    make_stages(small_recipe(tiny_root), again, targets=["amn"], progress=False)
    assert figures(again)["amn"]["band"] == figures(reference)["amn"]["band"] is not None


def test_what_is_half_made_is_not_measured(reference, again, tiny_root):
    sorted((again / "maps/advcam").iterdir())[3].unlink()
    Run(again).undo("advcam")
    make_stages(small_recipe(tiny_root), again, targets=["cam"], progress=False)
    assert figures(again)["cam"] == figures(reference)["cam"]
    assert "advcam" not in figures(again)


# another setting, other photos, another version


def refused(recipe, folder, *words, **options) -> None:
    before = files(folder, *MADE, ".json")
    with pytest.raises(InputError) as said:
        make_stages(recipe, folder, progress=False, **options)
    for word in (*words, "--name", "--again"):
        assert word in str(said.value), said.value
    assert files(folder, *MADE, ".json") == before


def test_what_was_made_with_other_settings_is_not_removed_unasked(again, tiny_root):
    recipe = small_recipe(tiny_root)
    changed = replace(recipe, advcam=replace(recipe.advcam, steps=3))
    refused(changed, again, "advcam", "advcam.steps was 2, now 3", "seeds, amn", "would follow")
    make_stages(changed, again, progress=False, again=True)
    run = Run(again)
    assert run.recipe["advcam"]["steps"] == 3
    assert run.provenance["continued"][-1]["recipe_before"]["advcam"]["steps"] == 2


def test_a_stage_that_is_not_asked_for_is_not_in_the_way(again, tiny_root):
    recipe = small_recipe(tiny_root)
    changed = replace(recipe, advcam=replace(recipe.advcam, steps=3))
    make_stages(changed, again, targets=["cam"], progress=False)
    assert "advcam" not in figures(again)  # what it holds was made otherwise
    make_stages(recipe, again, progress=False)
    assert "advcam" in figures(again)


def test_an_upgrade_removes_nothing(again, tiny_root, monkeypatch):
    monkeypatch.setattr("wsss_lib.__version__", "9.9.9")
    assert set(states(small_recipe(tiny_root), again).values()) == {"done"}
    monkeypatch.setattr(CamStage, "version", 2)
    refused(small_recipe(tiny_root), again, "cam", "version 1", "version 2")


def test_an_added_photo_removes_nothing(again, own_root, tiny_root):
    recipe = small_recipe(own_root)
    assert set(states(recipe, again).values()) == {"done"}  # the same photos in another place
    shutil.copy(own_root / PHOTOS / "train_1.jpg", own_root / PHOTOS / "more.jpg")
    shutil.copy(own_root / ANNOTATIONS / "train_1.xml", own_root / ANNOTATIONS / "more.xml")
    with (own_root / layout.SPLITS / "train.txt").open("a") as file:
        file.write("more\n")
    refused(recipe, again, "classifier", "photos or their tags have changed")


def test_a_replaced_photo_makes_what_read_it_stale(again, own_root):
    Image.effect_noise((64, 48), 9).convert("RGB").save(own_root / PHOTOS / "train_3.jpg")
    refused(small_recipe(own_root), again, "classifier", "photos or their tags have changed")


def test_photos_of_val_matter_to_those_only_that_read_them(again, own_root):
    Image.effect_noise((64, 48), 9).convert("RGB").save(own_root / PHOTOS / "val_1.jpg")
    now = states(small_recipe(own_root), again)
    stale = {name for name, state in now.items() if state == "otherwise"}
    assert stale == {"segmenter", "supervised"}


def test_true_masks_matter_to_the_ceiling_only(again, own_root):
    file = own_root / MASKS / "train_0.png"
    with Image.open(file) as mask:
        mask.rotate(180).save(file)
    now = states(small_recipe(own_root), again)
    assert {name for name, state in now.items() if state == "otherwise"} == {"supervised"}


def test_settings_of_speed_may_change_at_any_time(again, tiny_root):
    recipe = small_recipe(tiny_root)
    training = replace(recipe.classifier.training, workers=2, checkpoint_every=7)
    faster = replace(
        recipe,
        data=replace(recipe.data, workers=3),
        classifier=replace(recipe.classifier, training=training, batch_pixels=5),
        advcam=replace(recipe.advcam, batch_pixels=77),
        segmenter=replace(recipe.segmenter, batch_pixels=77),
    )
    assert set(states(faster, again).values()) == {"done"}


def test_a_threshold_matters_only_where_maps_become_masks(again, tiny_root):
    recipe = small_recipe(tiny_root)
    later = replace(recipe, amn=replace(recipe.amn, threshold=0.2))
    now = states(later, again)
    assert {n for n, state in now.items() if state == "otherwise"} == {"amn_masks", "segmenter"}


def test_the_same_place_by_another_name_is_the_same_data(again, tiny_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_root.parent)
    (tmp_path / "link").symlink_to(tiny_root)
    for root in (tiny_root.name, f"./{tiny_root.name}/", tmp_path / "link"):
        assert set(states(small_recipe(root), again).values()) == {"done"}, root


def test_files_of_unknown_origin_are_not_removed_unasked(again, tiny_root):
    (again / "stages/cam.json").unlink()
    refused(small_recipe(tiny_root), again, "cam", "nobody knows how", targets=["cam"])
    make_stages(small_recipe(tiny_root), again, progress=False, again=True)


def test_a_wrong_setting_does_not_burn_the_name(tiny_root, tmp_path):
    recipe = small_recipe(tiny_root)
    wrong = replace(recipe, cam=replace(recipe.cam, output_stride=16))
    with pytest.raises(InputError, match="output stride 16"):
        make_stages(wrong, tmp_path / "run", targets=["cam"], progress=False)
    assert not (tmp_path / "run").exists()
    make_stages(recipe, tmp_path / "run", targets=["cam"], progress=False)


# taking over


def test_only_what_depends_on_a_change_is_made_again(reference, tiny_root, tmp_path):
    recipe = small_recipe(tiny_root)
    changed = replace(recipe, seeds=replace(recipe.seeds, source="cam"))
    assert states(changed, tmp_path / "run", others=[Run(reference)])["advcam"] == "taken over"
    run = run_stages(changed, tmp_path / "run", reuse=[reference], progress=False)
    taken = {s for s, values in run.metrics().items() if "reused_from" in values}
    assert taken == {"classifier", "cam", "advcam", "cam_masks", "advcam_masks", "supervised"}
    theirs, ours = files(reference, ".npz"), files(run.folder, ".npz")
    assert any(ours[n] != b for n, b in theirs.items() if "amn" in n)


# order, and what cannot be made


def test_stages_come_in_order_with_what_they_need(tiny_root):
    recipe = small_recipe(tiny_root)
    assert recipe.in_order(["seeds"]) == ["classifier", "advcam", "seeds"]
    cam = replace(recipe, seeds=replace(recipe.seeds, source="cam"))
    assert cam.in_order(["seeds"]) == ["classifier", "cam", "seeds"]
    assert recipe.in_order(list(recipe.stages)) == list(recipe.stages)


def test_stages_that_need_each_other_are_refused(tiny_root):
    recipe = small_recipe(tiny_root)
    circle = replace(recipe, seeds=replace(recipe.seeds, source="amn"))
    with pytest.raises(InputError, match="circle"):
        circle.in_order(["segmenter"])
    unknown = replace(recipe, seeds=replace(recipe.seeds, source="irn"))
    with pytest.raises(InputError, match="'irn' makes no maps: .*among cam, advcam, amn"):
        unknown.in_order(["seeds"])


def test_the_ceiling_is_left_out_where_it_is_not_wanted(tiny_root, tmp_path):
    recipe = small_recipe(tiny_root)
    without = replace(recipe, supervised=replace(recipe.supervised, wanted=False))
    assert "supervised" not in states(without, tmp_path / "run")


def test_maps_may_be_made_of_another_list_than_is_learned_from(own_root, tmp_path):
    """As the papers learn from 10,582 photos and measure the maps of 1,464."""
    layout.write_lines(own_root / layout.SPLITS / "few.txt", ["train_1", "train_3", "train_4"])
    recipe = small_recipe(own_root)
    few = replace(recipe, data=replace(recipe.data, maps="few"))
    run = run_stages(few, tmp_path / "run", targets=["segmenter"], progress=False)
    for folder in ("maps/cam", "masks/seeds", "masks/amn_masks"):
        there = sorted(file.stem for file in (run.folder / folder).glob("*"))
        assert there in (["train_1", "train_3", "train_4"], []), folder
    assert len(list((run.folder / "maps/advcam").iterdir())) == 3


def test_a_checkpoint_of_another_architecture_is_refused(reference):
    model = Classifier(backbone("mobilenet_v2", output_stride=16), 3)
    with pytest.raises(InputError, match="classifier.safetensors belong to another network"):
        load_state(reference / "checkpoints/classifier.safetensors", model)


def test_amn_conditions_and_sources_can_be_changed(tiny_root, reference, tmp_path):
    recipe = small_recipe(tiny_root)
    changed = replace(
        recipe,
        amn=replace(recipe.amn, condition_stage=None, balanced=False, smoothing=0.0, gate=True),
        segmenter=replace(recipe.segmenter, source="cam_masks", refine=True, train_scales=(0.5,)),
        supervised=replace(recipe.supervised, wanted=False),
    )
    run = run_stages(changed, tmp_path / "run", reuse=[reference], progress=False)
    names = load_file(run.folder / "checkpoints/amn.safetensors")
    assert not any("gain" in name for name in names)
    assert run.mark("segmenter")["of"]["settings"]["source"] == "cam_masks"
    assert "supervised" not in run.metrics()


def test_bf16_can_be_asked_for_where_a_network_looks(tiny_root, reference, tmp_path):
    recipe = small_recipe(tiny_root)
    half = {"precision": "bf16"}
    changed = replace(
        recipe,
        cam=replace(recipe.cam, **half),
        advcam=replace(recipe.advcam, **half),
        amn=replace(recipe.amn, **half),
        segmenter=replace(recipe.segmenter, **half),
    )
    run = run_stages(
        changed, tmp_path / "run", targets=["segmenter", "cam"], reuse=[reference], progress=False
    )
    assert set(run.metrics()) >= {"cam", "advcam", "amn", "segmenter"}
    assert "reused_from" in run.metrics()["classifier"]


def test_device_and_seed_are_noted(reference):
    made = json.loads((reference / "provenance.json").read_text())
    assert made["torch"] == torch.__version__ and made["seed"] == 0 and made["device"]


def test_a_lack_of_memory_is_one_sentence(tiny_root, reference, tmp_path, monkeypatch):
    look = CamStage.look

    def too_much(stage, work, model, batch):
        if batch.image_BCHW.device.type != "meta":  # where it is only counted
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return look(stage, work, model, batch)

    monkeypatch.setattr(CamStage, "look", too_much)
    recipe = small_recipe(tiny_root)
    changed = replace(recipe, cam=replace(recipe.cam, precision="bf16"))
    with pytest.raises(InputError, match=r"cam: .*memory.*--cam\.batch-pixels"):
        make_stages(changed, tmp_path / "run", targets=["cam"], reuse=[reference], progress=False)


def test_the_ceiling_has_the_settings_of_the_segmentation_network(again, tiny_root):
    recipe = small_recipe(tiny_root)
    other = replace(recipe, segmenter=replace(recipe.segmenter, source="cam_masks"))
    assert states(other, again)["supervised"] == "done"
    longer = replace(recipe.segmenter.training, epochs=2)
    other = replace(recipe, segmenter=replace(recipe.segmenter, training=longer))
    assert states(other, again)["supervised"] == "otherwise"
    assert isinstance(recipe.segmenter, SegmenterStage)
