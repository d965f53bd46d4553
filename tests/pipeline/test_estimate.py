"""What a run would take: counts against literal sums and against what a run computes, times against a clock."""

import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from tests.small_runs import small_recipe
from wsss_lib import toy
from wsss_lib.data.photos import Photos
from wsss_lib.learning.backbones import fold_norms
from wsss_lib.learning.storage import save_state
from wsss_lib.methods.crf import DenseCRF
from wsss_lib.pipeline import estimate, ranks
from wsss_lib.pipeline.cost import counted
from wsss_lib.pipeline.estimate import estimated, interpolated, middle
from wsss_lib.pipeline.make import make_stage, make_stages, opened, plan
from wsss_lib.pipeline.stage import MapStage
from wsss_lib.pipeline.stages.classifier import learned_classifier
from wsss_lib.pipeline.work import Work
from wsss_lib.recipes import toy_quick, voc12

NETWORKS = ["classifier", "cam", "advcam", "amn", "segmenter", "supervised"]
H, W = 20, 30


@pytest.fixture
def work(tiny_root, tmp_path):
    return opened(small_recipe(tiny_root), tmp_path / "run", False)


# counting


def layers():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 1, bias=False)]
    return nn.Sequential(*layers).to("meta")


def test_operations_and_bytes_of_a_look_are_literal_sums():
    model = layers()
    with torch.no_grad():
        operations, held = counted(lambda: model(torch.empty(1, 3, H, W, device="meta")))
    assert operations == 2 * H * W * (3 * 8 * 9 + 8 * 5)
    assert held == 4 * H * W * (3 + 8 + 8)  # the photo, what goes into the ReLU, what comes out


def test_operations_and_bytes_of_a_step_are_literal_sums():
    model = layers()

    def step():
        value = model(torch.empty(1, 3, H, W, device="meta")).sum()
        torch.autograd.grad(value, list(model.parameters()))

    operations, held = counted(step)
    forward, weights, photo = (
        3 * 8 * 9 + 8 * 5,
        3 * 8 * 9 + 8 * 5,
        8 * 5,
    )  # nobody asks for the photo's
    assert operations == 2 * H * W * (forward + weights + photo)
    kept = 3 + 8 + 5  # the photo, the output of the ReLU, that of the second layer
    assert 4 * H * W * kept <= held <= 4 * H * W * (kept + 5 + 8 + 8) + 4 * 1000


def test_what_is_given_back_is_not_held():
    def one_after_the_other():
        for _ in range(5):
            torch.empty(100, device="meta").add(1)

    assert counted(one_after_the_other)[1] == 4 * 200


def test_between_two_sizes_it_is_interpolated():
    known = {(10, 10): 100.0, (20, 20): 800.0}  # one a pixel, two a pixel
    assert interpolated(known, [(10, 25)]) == {(10, 25): pytest.approx(250 * 1.5)}
    assert interpolated({(10, 10): 300.0}, [(10, 10), (5, 20)]) == {(10, 10): 300, (5, 20): 300}


def test_the_size_in_the_middle():
    assert middle(Counter({(50, 50): 3, (10, 10): 2, (20, 20): 2})) == (20, 20)


# stages


def executed(work, name) -> float:
    """The operations that a stage really does; but for the look at a small photo by which normalisations are folded."""
    (planned,) = (each for each in plan(work) if each.name == name)
    folding = FlopCounterMode(display=False)
    if name == "advcam":
        with folding:
            fold_norms(learned_classifier(work))
    with FlopCounterMode(display=False) as counter:
        make_stage(work.of(name), planned, [])
    return counter.get_total_flops() - folding.get_total_flops()


def test_the_operations_of_every_stage_are_those_that_it_does(tmp_path):
    """Photos of one size, some with two tags: not one multiplication is missing."""
    toy.write(tmp_path / "data", train=7, val=3, test=1, size=64, progress=False)
    recipe = small_recipe(tmp_path / "data")
    recipe = replace(
        recipe,
        advcam=replace(recipe.advcam, steps=7, scales=(0.5, 1.0), batch_pixels=20_000),
        amn=replace(recipe.amn, scales=(1.0, 0.5)),
        segmenter=replace(recipe.segmenter, train_scales=(0.5,)),
    )
    work = opened(recipe, tmp_path / "run", False)
    assert work.photos("train").tags_NK.sum() > 7
    counts = {name: estimated(work.of(name)).operations for name in NETWORKS}
    work.run.start(recipe)
    for name in recipe.stages:
        literal = executed(work, name)
        if name in NETWORKS:
            assert counts[name] == pytest.approx(literal, rel=1e-6), name


def test_the_same_for_photos_of_many_sizes(work):
    count = estimated(work.of("cam")).operations
    work.run.start(work.recipe)
    executed(work, "classifier")
    assert count == pytest.approx(executed(work, "cam"), rel=0.1)


def test_processes_share_the_work(work, monkeypatch):
    monkeypatch.setattr(estimate.Effort, "_rate", lambda *_: 1e9)
    alone = [estimated(work.of(name)) for name in ("classifier", "advcam")]
    monkeypatch.setattr(ranks, "count", lambda: 2)
    shared = [estimated(work.of(name)) for name in ("classifier", "advcam")]
    for one, two in zip(alone, shared):
        assert two.operations == one.operations and two.seconds == pytest.approx(one.seconds / 2)
    assert (
        shared[0].memory < alone[0].memory
    )  # half the batch; AdvCAM climbs as many pixels as before
    assert shared[1].memory == alone[1].memory


def test_the_crf_is_timed_on_one_picture(work, monkeypatch):
    timed = []

    def one(crf, size, maps, labels):
        timed.append((crf, size, maps, labels))
        return 2.0 * maps

    monkeypatch.setattr(estimate, "seconds_of_crf", one)
    monkeypatch.setattr(estimate, "free_cpus", lambda: 4)
    pixels = sum(h * w for h, w in work.tagged().sizes) / (48 * 64)
    assert estimated(work.of("cam_masks")).seconds == pytest.approx(2 * pixels)
    assert timed == [(work.recipe.crf, (64, 48), 1, 2)] or timed == [
        (work.recipe.crf, (48, 64), 1, 2)
    ]
    many = work.tagged().subset(list(range(8)) * 10)  # for so many there are several processes
    work.opened[work.recipe.data.root, "train", "tagged"] = many
    assert estimated(work.of("seeds")).seconds == pytest.approx(10 * 4 * pixels / 4)


def test_the_crf_takes_longer_for_more_labels_and_pixels():
    crf = DenseCRF(iterations=2)
    assert 0 < estimate.seconds_of_crf(crf, (30, 40), 1, 2) < 5


@dataclass(frozen=True, kw_only=True)
class SilentStage(MapStage):
    title = "Silent"


@dataclass(frozen=True, kw_only=True)
class ValuesStage(MapStage):
    title = "Reads values"

    def cost(self, effort):
        effort.looks(
            lambda work: nn.Identity(),
            lambda work, model, batch: batch.tag_BK.sum().item(),
            effort.work.batches(effort.work.tagged(), pixels=10_000),
        )


@pytest.mark.parametrize("stage", [SilentStage, ValuesStage])
def test_a_stage_that_does_not_say_is_not_estimated(stage, work):
    recipe = replace(work.recipe, cam=stage())
    one = estimated(replace(work, recipe=recipe, name="cam"))
    assert one.seconds is None and one.disk > 0


# full size


def fabricated(count: int) -> Photos:
    """So many photos of the sizes and tags of VOC; there is no file."""
    photos = Photos.__new__(Photos)
    photos.root, photos.split, photos.transform = Path("nowhere"), "train", None
    photos.names = ["background", *(f"class {i}" for i in range(20))]
    photos.num_classes, photos._kept = 20, None
    photos.ids = photos._digests = [str(i) for i in range(count)]
    photos.sizes = [[(375, 500), (500, 375), (333, 500)][i % 3] for i in range(count)]
    photos.tags_NK = torch.zeros(count, 20, dtype=torch.bool)
    for i in range(count):
        photos.tags_NK[i, [i % 20, (i + i % 9 // 4) % 20]] = True  # 1.56 tags
    return photos


def test_voc_is_counted_without_computing_it(tmp_path, monkeypatch):
    """AdvCAM would take weeks here; saying so takes seconds, and no network sees a photo at its size."""
    save_state(tmp_path / "weights.safetensors", models.resnet50())
    recipe = replace(voc12(), weights=str(tmp_path / "weights.safetensors"))
    train = fabricated(10_582)
    places = {(recipe.data.root, "train"): train, (recipe.data.root, "val"): fabricated(1449)}
    work = Work(recipe, run=None, progress=False, opened=places)
    monkeypatch.setattr(estimate, "bytes_to_write", lambda work, name: 0.0)
    monkeypatch.setattr(estimate, "ENOUGH", 0.0)
    seen = []

    def note(module, inputs):
        if torch.is_tensor(inputs[0]) and inputs[0].dim() == 4 and inputs[0].device.type == "cpu":
            seen.append(inputs[0].shape[0] * inputs[0].shape[2] * inputs[0].shape[3])

    hook = register_module_forward_pre_hook(note)
    one = {name: estimated(work.of(name)) for name in ("classifier", "advcam")}
    hook.remove()
    assert seen and max(seen) < 375 * 500 / 4
    assert 0.5e18 < one["advcam"].operations < 0.65e18  # chapter 9 counts 0.61e18 for 375 x 500
    assert 0.8e16 < one["classifier"].operations < 1.2e16
    assert 5e9 < one["advcam"].memory < 8e9  # six million pixels that climb together
    assert 5e9 < one["classifier"].memory < 12e9  # sixteen crops of 512 x 512


def test_the_time_is_that_of_a_run(tmp_path, monkeypatch):
    """In time of the CPU, which other programs do not change. Reading and measuring are not in the estimate."""
    recipe, names = toy_quick(), ["classifier", "cam", "advcam"]
    recipe = replace(recipe, data=replace(recipe.data, root=str(tmp_path / "data")))
    work = opened(recipe, tmp_path / "run", False)
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    expected = sum(estimated(work.of(name)).seconds for name in names)
    made = make_stages(recipe, tmp_path / "run", targets=names, progress=False)
    taken = sum(made.run.mark(name)["figures"]["seconds"] for name in names)
    assert 1 / 3 < taken / expected < 3
