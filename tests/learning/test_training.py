import dataclasses
import json
import math

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from wsss_lib.data.layout import InputError
from wsss_lib.learning.loading import batch_keys
from wsss_lib.learning.training import Training, fit, lr_factor, make_optimizer

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


def test_a_killed_training_ends_as_if_nothing_had_happened(tmp_path):
    settings = dataclasses.replace(SETTINGS, checkpoint_every=2)
    calls = []

    def killed(model, batch):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return loss(model, batch)

    with pytest.raises(KeyboardInterrupt):
        trained(settings, killed, folder=tmp_path)
    assert (tmp_path / "resume.pt").exists()
    after = []

    def counted(model, batch):
        after.append(1)
        return loss(model, batch)

    resumed = trained(settings, counted, folder=tmp_path)
    assert len(after) == 8 - 4  # 8 steps, the last checkpoint at 4
    assert_equal(resumed, trained(settings))


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


def test_the_log_has_loss_and_rate(tmp_path):
    trained(folder=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 8 and lines[-1]["loss"] > 0 and lines[-1]["images_per_s"] > 0


def test_a_loss_that_is_not_finite_stops_the_training():
    def diverged(model, batch):
        return loss(model, batch) * float("nan")

    with pytest.raises(InputError, match="lower the learning rate"):
        trained(dataclasses.replace(SETTINGS, epochs=10), diverged)


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
