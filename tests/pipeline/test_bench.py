"""The measurements of ``wsss bench``: each gives a rate, and each does what a stage does."""

import pytest
import torch

from wsss_lib.learning.backbones import backbone
from wsss_lib.methods import advcam as climbing
from wsss_lib.pipeline import bench
from wsss_lib.pipeline.bench import Bench, measure, piles, rounding

QUICK = {"size": (48, 64), "crop": 41, "train_batch": 2, "repeats": 1}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(bench, "STEPS", 2)
    monkeypatch.setattr(bench, "TRAINING_STEPS", 1)


def test_every_measurement_gives_a_rate():
    rows = measure(Bench(batch_sizes=(1, 4), **QUICK))["fp32"]
    assert [(row["scale"], row["pairs"]) for row in rows["advcam"]] == [(1, 1), (1, 4), (2, 1)]
    assert [row["pixels"] for row in rows["advcam"]] == [2 * 48 * 64 * n for n in (1, 4, 4)]
    for row in rows["advcam"]:
        assert row["pair_steps_per_s"] > 0 and row["tflops"] > 0
    assert rows["cam"]["batch"] == 4 and rows["cam"]["tflops"] > 0
    for name in ("cam", "amn", "deeplab"):
        assert rows[name]["images_per_s"] > 0


def test_in_bf16_networks_look_and_climb_in_mixed_precision(monkeypatch):
    seen = []
    for name in ("cam", "advcam"):
        monkeypatch.setattr(bench, name, lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    monkeypatch.setattr(bench, "training", lambda asked, model, loss, precision: {})
    monkeypatch.setattr(bench, "backbone", lambda name, **more: backbone("toy", output_stride=8))
    measure(Bench(batch_sizes=(1,), precisions=("fp32", "bf16"), **QUICK))
    half = len(seen) // 2
    assert seen == [False] * half + [True] * half and half > 1


def test_as_many_pixels_climb_together_at_every_scale():
    assert piles(Bench(batch_sizes=(1, 16), scales=(0.5, 1.0, 2.0))) == [
        (0.5, 4), (0.5, 64), (1.0, 1), (1.0, 16), (2.0, 1), (2.0, 4),
    ]  # fmt: skip
    assert piles(Bench(batch_sizes=(1, 2, 4), scales=(2.0,))) == [(2.0, 1)]


def test_the_networks_are_laid_out_and_folded_as_in_the_stages(monkeypatch):
    seen = []

    def look(model, *arguments, **more):
        weight = model.backbone.stages[1][0].conv2.weight
        seen.append((weight.is_contiguous(memory_format=torch.channels_last), model))
        return climbing.advcam(model, *arguments, **more)

    monkeypatch.setattr(bench, "advcam", look)
    bench.climbing(Bench(**QUICK), "fp32", torch.device("cpu"), 1.0, 1)
    assert seen and all(last for last, _ in seen)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for _, net in seen for m in net.modules())


def tf32() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("fp32", tf32()), ("bf16", tf32()), ("ieee", (False, False)), ("tf32", (True, True))],
)
def test_rounding_is_that_of_a_run_unless_another_is_asked_for(precision, expected):
    """PyTorch's default has TF32 in convolutions, and a run leaves it so."""
    before = tf32()
    with pytest.raises(KeyError), rounding(precision):
        assert tf32() == expected
        raise KeyError  # also if a measurement fails
    assert tf32() == before
