"""What a run would take: the counts against literal sums, the times against a run."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.small_runs import small_recipe
from wsss_lib.learning.backbones import backbone
from wsss_lib.methods.advcam import Climbing, climb
from wsss_lib.methods.cam import Classifier
from wsss_lib.pipeline import estimate
from wsss_lib.pipeline.cost import Cost
from wsss_lib.pipeline.estimate import dry_run
from wsss_lib.pipeline.make import make_stages, opened
from wsss_lib.recipes import toy_quick, voc12


@pytest.fixture
def work(tiny_root, tmp_path):
    return opened(small_recipe(tiny_root), tmp_path / "run", False)


def areas(photos):
    return [h * w for h, w in photos.sizes]


def test_a_pass_is_counted_for_every_photo_scale_and_view(work):
    recipe = replace(work.recipe, cam=replace(work.recipe.cam, scales=(1.0, 0.5)))
    cost = recipe.cam.cost(replace(work, recipe=recipe, name="cam"))
    assert cost == Cost(passes=sum(2 * area * (1 + 0.25) for area in areas(work.photos("train"))))


def test_climbing_is_counted_for_every_pair_and_step(work):
    photos = work.photos("train")
    steps = replace(work.recipe.advcam, steps=20, scales=(0.5, 1.0))
    recipe = replace(work.recipe, advcam=steps)
    cost = steps.cost(replace(work, recipe=recipe, name="advcam"))
    literal = 0
    for area, tags in zip(areas(photos), photos.tags_NK.sum(dim=1).tolist()):
        for _ in range(tags):
            for scale, maps in ((0.5, 10), (1.0, 20)):
                literal += 2 * scale**2 * area * (maps + maps - 1)
    assert cost.passes == pytest.approx(literal)


def test_a_backward_pass_towards_the_photo_costs_a_forward_pass():
    """The unit of the model, counted operation by operation."""
    model = Classifier(backbone("resnet50", output_stride=16), 20).to("meta").eval()
    image = torch.empty(1, 3, 128, 160, device="meta")
    classes = torch.zeros(1, dtype=torch.int64, device="meta")
    tags = torch.zeros(1, 20, device="meta")

    def operations(function):
        with FlopCounterMode(display=False) as counter:
            function()
        return counter.get_total_flops()

    look = operations(lambda: model.logit_map(image))
    for steps in (1, 4):
        climbed = operations(
            lambda steps=steps: climb(model, image, classes, tags, Climbing(), steps=steps)
        )
        assert climbed == pytest.approx(2 * look * (2 * steps - 1), rel=0.02)


def test_learning_is_three_passes_of_a_crop(work):
    stage = work.recipe.classifier
    assert stage.cost(work.of("classifier")).passes == 3 * 1 * 8 * 32**2
    network = replace(work.recipe.segmenter, train_scales=(0.5,))
    val = sum(2 * area for area in areas(work.photos("val")))
    cost = network.cost(work.of("segmenter"))
    assert cost.passes == pytest.approx(3 * 1 * 8 * 32**2 * 1.25 + val)


def test_the_crf_is_counted_by_pixels_and_labels(work):
    photos = work.photos("train")
    labels = [1 + tags for tags in photos.tags_NK.sum(dim=1).tolist()]
    once = sum(area * count for area, count in zip(areas(photos), labels))
    assert work.recipe.cam_masks.cost(work.of("cam_masks")) == Cost(refined=once)
    assert work.recipe.seeds.cost(work.of("seeds")) == Cost(refined=2 * once)


def test_memory_of_a_backward_pass_is_what_is_saved():
    layer = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.ReLU())
    x = torch.empty(1, 3, 10, 20, requires_grad=True)
    saved = 3 * 10 * 20 + 4 * 10 * 20  # input and output of the ReLU; the weights are there anyway
    assert estimate.kept(lambda: layer(x), layer) == 4 * saved
    assert estimate.held(lambda: layer(x), layer) == 2 * 4 * (4 + 4) * 10 * 20


def test_a_dry_run_changes_nothing_and_says_what_there_is(tiny_root, tmp_path):
    recipe = small_recipe(tiny_root)
    text = dry_run(recipe, tmp_path / "run", ["classifier", "cam"])
    assert not (tmp_path / "run").exists()
    assert text.count("will be made") == 2 and "together" in text and "free on the disk" in text
    make_stages(recipe, tmp_path / "run", targets=["cam"], progress=False)
    other = replace(recipe, cam=replace(recipe.cam, output_stride=8))
    states = {
        line.split()[0]: line
        for line in dry_run(other, tmp_path / "run", ["classifier", "cam", "advcam"]).splitlines()
    }
    assert "is done" in states["classifier"] and "needs --again" in states["cam"]
    assert "will be made" in states["advcam"]
    fresh = dry_run(recipe, tmp_path / "new", ["cam"], reuse=[tmp_path / "run"])
    assert "is taken over" in fresh


def test_photos_that_would_be_drawn_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = dry_run(toy_quick(), tmp_path / "run", ["classifier"])
    assert "112 photos would be drawn" in text and not list(tmp_path.iterdir())


def test_the_time_is_right_within_a_few_times(tmp_path):
    recipe = toy_quick()
    recipe = replace(recipe, data=replace(recipe.data, root=str(tmp_path / "data")))
    work = opened(recipe, tmp_path / "run", False)
    names = ["classifier", "advcam"]
    seconds = estimate.Seconds(work)
    expected = sum(estimate.estimated(work.of(name), seconds).seconds for name in names)
    made = make_stages(recipe, tmp_path / "run", targets=names, progress=False)
    taken = sum(figures["seconds"] for figures in made.run.figures(names).values())
    assert 0.2 < taken / expected < 8  # photos of 64 pixels: much of it is not in the model


def test_full_size_is_counted_without_computing(tiny_root, tmp_path, monkeypatch):
    """AdvCAM on VOC would take days here; saying so takes seconds."""
    monkeypatch.setattr(estimate, "PASS_PIXELS", 1)
    full = voc12()
    recipe = replace(full, weights=None, data=replace(full.data, root=str(tiny_root), workers=0))
    work = opened(recipe, tmp_path / "run", False)
    networks = replace(recipe, segmenter=replace(recipe.segmenter, weights=None))
    memory = estimate.memory(networks.advcam, replace(work, recipe=networks, name="advcam"))
    assert 2e9 < memory < 12e9  # six million pixels through a ResNet-50
