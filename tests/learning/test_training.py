import dataclasses
import itertools
import json
import math
import os
import time

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import Dataset

from wsss_lib.data.augmentation import normalise
from wsss_lib.data.layout import InputError
from wsss_lib.learning.checkpoints import Checkpoint
from wsss_lib.learning.loading import Keys, batch_keys
from wsss_lib.learning.means import masked_mean
from wsss_lib.learning.training import Training, fit, lr_factor, make_optimizer, split

SETTINGS = Training(epochs=3, batch_size=4, backbone_lr=0.01, head_lr=0.1, optimizer="adamw")


class Noisy(Dataset):
    """Ten items whose values are drawn anew each time, as augmentation does."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        x = torch.full((5,), float(index)) / 10 + 0.1 * torch.randn(5)
        return {"id": str(index), "x": x, "y": torch.tensor(float(index % 2))}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(5, 8)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.dropout(self.backbone(x).relu()))[:, 0]


def loss(model, batch):
    return nn.functional.binary_cross_entropy_with_logits(model(batch["x"]), batch["y"])


def trained(settings=SETTINGS, loss=loss, dataset=None, **options):
    torch.manual_seed(0)
    net = Net()
    return fit(net, loss, dataset or Noisy(), settings, seed=7, progress=False, **options)


def assert_equal(one, other):
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_one_seed_gives_one_result_whatever_was_drawn_before():
    first = trained()
    torch.rand(17)
    assert_equal(first, trained())


class Killed:
    """The loss, which is killed when it is called for the ``last`` time; counts its calls."""

    def __init__(self, last=None):
        self.calls, self.last = 0, last

    def __call__(self, model, batch):
        self.calls += 1
        if self.calls == self.last:
            raise KeyboardInterrupt
        return loss(model, batch)


CHECKED = dataclasses.replace(SETTINGS, checkpoint_every=2)  # 8 steps


def killed(folder, settings=CHECKED, last=6):
    """A training that did not come to its end; the checkpoint is of the last even step before."""
    with pytest.raises(KeyboardInterrupt):
        trained(settings, Killed(last), folder=folder)
    return folder / "resume.pt"


def test_a_killed_training_ends_as_if_nothing_had_happened(tmp_path):
    assert killed(tmp_path).exists()
    rest = Killed()
    resumed = trained(CHECKED, rest, folder=tmp_path)
    assert rest.calls == 8 - 4
    assert_equal(resumed, trained(CHECKED))


class Trap:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def empty(file):
    file.write_bytes(b"")


def of_another_network(file):
    state = torch.load(file, weights_only=True)
    state["model"]["head.weight"] = torch.zeros(2, 8)
    torch.save(state, file)


def of_another_optimizer(file):
    settings = dataclasses.replace(CHECKED, optimizer="sgd")
    killed(file.parent / "other", settings).replace(file)


def at_another_learning_rate(file):
    killed(file.parent / "other", dataclasses.replace(CHECKED, head_lr=0.05)).replace(file)


def beyond_the_end(file):
    killed(file.parent / "other", dataclasses.replace(CHECKED, epochs=6), 15).replace(file)


def of_no_training(file):
    torch.save([1, 2], file)


def trapped(file):
    torch.save({"step": 4, "model": Trap(file.with_name("sprung")), "optimizer": {}}, file)


def a_pipe(file):
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    "damage",
    [
        cut, empty, a_pipe, of_another_network, of_another_optimizer, at_another_learning_rate,
        beyond_the_end, of_no_training, trapped,
    ],
)  # fmt: skip
def test_a_checkpoint_that_cannot_be_used_is_said_and_removed(damage, tmp_path, capsys):
    file = killed(tmp_path)
    damage(file)
    capsys.readouterr()
    anew = Killed()
    settings = dataclasses.replace(CHECKED, checkpoint_every=100)  # writes no other one
    assert_equal(trained(settings, anew, folder=tmp_path), trained(settings))
    assert anew.calls == 8 and not file.exists()
    assert not (tmp_path / "sprung").exists()
    said = capsys.readouterr().err
    assert said == f"{file} cannot be used and is removed: this training begins anew\n"


def test_the_scale_of_fp16_is_part_of_a_checkpoint(tmp_path):
    def checkpoint(scale):
        accelerator = Accelerator(cpu=True)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        net = Net()
        return Checkpoint(tmp_path, net, make_optimizer(net, SETTINGS), accelerator)

    checkpoint(512.0).save(3)
    other = checkpoint(2.0)
    assert other.resume(8) == 3
    assert other.accelerator.scaler.state_dict()["scale"] == 512


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_killed_training_in_fp16_ends_as_if_nothing_had_happened(tmp_path):
    settings = dataclasses.replace(CHECKED, precision="fp16")
    killed(tmp_path, settings)
    assert_equal(trained(settings, folder=tmp_path), trained(settings))


def test_loading_workers_do_not_change_the_result():
    assert_equal(trained(), trained(dataclasses.replace(SETTINGS, workers=2)))


def test_accumulating_parts_equals_the_whole_batch():
    def plain(model, batch):
        model.dropout.p = 0.0
        return loss(model, batch)

    whole = trained(loss=plain).state_dict()
    parts = trained(dataclasses.replace(SETTINGS, accumulate=2), plain).state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-5)


def test_training_learns():
    settings = dataclasses.replace(SETTINGS, epochs=60)

    class Parity(Noisy):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            return {"x": torch.full((5,), 2 * item["y"] - 1) + 0.1 * torch.randn(5), "y": item["y"]}

    net = trained(settings, dataset=Parity())
    assert not net.training
    x = torch.tensor([[-1.0] * 5, [1.0] * 5])
    assert net(x)[0] < -1 and net(x)[1] > 1


def test_every_photo_comes_once_an_epoch_and_shuffles_differ():
    keys = [key for step in batch_keys(10, 4, 0, range(5)) for key in step]
    indices = [index for index, _ in keys]
    assert sorted(indices[:10]) == sorted(indices[10:]) == list(range(10))
    assert indices[:10] != indices[10:]
    assert len({seed for _, seed in keys}) == 20
    assert list(batch_keys(10, 4, 0, range(3, 5))) == list(batch_keys(10, 4, 0, range(5)))[3:]


def test_two_processes_share_each_batch():
    whole = list(batch_keys(10, 4, 0, range(5)))
    parts = [list(batch_keys(10, 4, 0, range(5), slice(r, None, 2))) for r in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert sorted(batch) == sorted(shares[0] + shares[1])


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.2, 0.5, 0.99])
def test_schedules(progress):
    assert lr_factor("poly", progress) == pytest.approx((1 - progress) ** 0.9)
    assert lr_factor("constant", progress) == 1
    cosine = lr_factor("warmup_cosine", progress)
    if progress < 0.2:
        assert cosine == pytest.approx(0.04 + 0.96 * (1 - math.cos(math.pi * progress / 0.2)) / 2)
    else:
        assert cosine == pytest.approx((1 + math.cos(math.pi * (progress - 0.2) / 0.8)) / 2)


def test_backbone_head_and_biases_have_their_learning_rates():
    net = Net()
    settings = dataclasses.replace(SETTINGS, optimizer="sgd", double_bias_lr=True)
    groups = make_optimizer(net, settings).param_groups
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert rates[id(net.backbone.weight)] == rates[id(net.backbone.bias)] == (0.01, 1e-4)
    assert rates[id(net.head.weight)] == (0.1, 1e-4)
    assert rates[id(net.head.bias)] == (0.2, 0.0)
    net.backbone.requires_grad_(False)
    assert len(make_optimizer(net, SETTINGS).param_groups) == 1


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_log_has_loss_and_rate(tmp_path):
    trained(folder=tmp_path)
    lines = logged(tmp_path)
    assert lines[-1]["step"] == 8 and lines[-1]["loss"] > 0 and lines[-1]["images_per_s"] > 0


def test_a_resumed_training_logs_no_step_twice(tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=14, checkpoint_every=15)  # 35 steps
    killed(tmp_path, settings, 28)
    assert [line["step"] for line in logged(tmp_path)] == [10, 20]
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 25, "lo')  # a disk was full
    trained(settings, folder=tmp_path)
    trained(settings, folder=tmp_path / "undisturbed")
    steps = [(line["step"], line["loss"]) for line in logged(tmp_path)]
    assert steps == [(line["step"], line["loss"]) for line in logged(tmp_path / "undisturbed")]
    assert [step for step, _ in steps] == [10, 20, 30, 35]


class Diverging(Killed):
    """A loss that is not finite from a call on."""

    def __call__(self, model, batch):
        self.calls += 1
        return loss(model, batch) * (float("nan") if self.calls >= self.last else 1)


@pytest.mark.parametrize("first, said", [(1, 3), (8, 8)])
def test_a_loss_that_is_not_finite_stops_the_training(first, said):
    """When a checkpoint is due, here after an epoch of 3 steps, or at the last step."""
    with pytest.raises(InputError, match=f"loss is nan at step {said}: lower the learning rate"):
        trained(loss=Diverging(first))


def test_no_checkpoint_is_written_of_what_has_diverged(tmp_path):
    with pytest.raises(InputError, match="loss is nan at step 4"):
        trained(CHECKED, Diverging(3), folder=tmp_path)
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] == 2


def test_mixed_precision_trains_in_bfloat16_and_returns_float32():
    seen = []

    def watched(model, batch):
        logits = model.head(model.backbone(batch["x"]))
        seen.append(logits.dtype)
        return loss(model, batch)

    net = trained(dataclasses.replace(SETTINGS, precision="bf16"), watched)
    assert set(seen) == {torch.bfloat16}
    assert net(torch.zeros(1, 5)).dtype == torch.float32
    assert_equal(trained(), trained())  # and float32 afterwards is float32


def test_unusable_settings_are_refused():
    with pytest.raises(InputError, match="multiple"):
        trained(dataclasses.replace(SETTINGS, accumulate=3))
    empty = torch.utils.data.Subset(Noisy(), [])
    with pytest.raises(InputError, match="no photo"):
        fit(Net(), loss, empty, SETTINGS, progress=False)


@pytest.mark.parametrize(
    "name, values",
    [
        ("epochs", [0, -1, math.inf, math.nan]),
        ("batch_size", [0, -4]),
        ("accumulate", [0, -1]),
        ("backbone_lr", [-0.1, math.inf, math.nan]),
        ("head_lr", [-0.1, math.inf]),
        ("momentum", [-0.1]),
        ("weight_decay", [-1e-4, math.nan]),
        ("workers", [-1]),
        ("checkpoint_every", [-1]),
    ],
)
def test_numbers_that_cannot_be_are_refused(name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} must be .* but is {value}$"):
            dataclasses.replace(SETTINGS, **{name: value})


def test_what_changes_the_time_alone_is_marked():
    fields = dataclasses.fields(Training)
    assert {field.name for field in fields if field.metadata.get("speed")} == {
        "workers",
        "checkpoint_every",
    }


def test_photos_in_bytes_are_normalised_and_masks_are_not():
    photos = torch.randint(256, (4, 3, 5, 6), dtype=torch.uint8)
    batch = {"image": photos, "mask": photos[:, 0], "id": ["a", "b", "c", "d"]}
    parts = list(split(batch, 2, torch.device("cpu")))
    assert torch.equal(torch.cat([part["image"] for part in parts]), normalise(photos))
    assert torch.equal(torch.cat([part["mask"] for part in parts]), photos[:, 0])
    done = normalise(photos)
    (whole,) = split({"image": done}, 1, torch.device("cpu"))
    assert torch.equal(whole["image"], done)


def test_batches_are_made_one_after_the_other():
    steps = range(7, 10**9)
    keys, start = Keys(10, 4, 0, steps, slice(1, None, 2)), time.perf_counter()
    assert len(keys) == len(steps)
    few = list(batch_keys(10, 4, 0, range(7, 10), slice(1, None, 2)))
    assert list(itertools.islice(keys, 3)) == list(itertools.islice(keys, 3)) == few
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_masked_mean_is_the_mean_where_the_mask_is_set(dtype):
    torch.manual_seed(0)
    value, mask = torch.randn(3, 4, 5, dtype=dtype), torch.rand(3, 4, 5) < 0.3
    ours = masked_mean(value, mask)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, value[mask].mean())
    assert masked_mean(value, torch.zeros_like(mask)) == 0
