"""Weights come back as they were, and no file is half-written."""

import contextlib
import os
import stat

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import nn

from wsss_lib.data import files
from wsss_lib.data.layout import InputError
from wsss_lib.learning.storage import load_state, read_state, save_state


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_weights_come_back_as_they_were(tmp_path):
    net, other = network().to(memory_format=torch.channels_last), network(1)
    save_state(tmp_path / "net.safetensors", net, seed="7")
    load_state(tmp_path / "net.safetensors", other)
    for name, value in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert file.metadata()["seed"] == "7"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_others_may_read_the_file_if_they_may_read_new_files(tmp_path):
    before = os.umask(0o022)
    try:
        save_state(tmp_path / "net.safetensors", network())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "net.safetensors").stat().st_mode) == 0o644


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    save_state(tmp_path / "net.safetensors", network())
    before = (tmp_path / "net.safetensors").read_bytes()

    def fail(source, target):
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        save_state(tmp_path / "net.safetensors", network(1))
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]
    assert (tmp_path / "net.safetensors").read_bytes() == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_not_written(value, tmp_path):
    net = network()
    net[0].weight.data[1, 2, 0, 1] = value
    with pytest.raises(InputError, match=r"net\.safetensors was not written.*0\.weight.*learning"):
        save_state(tmp_path / "net.safetensors", net)
    assert not list(tmp_path.iterdir())


def test_a_flipped_bit_is_noticed(tmp_path):
    model = nn.Linear(3, 2)
    save_state(tmp_path / "weights.safetensors", model)
    healthy = (tmp_path / "weights.safetensors").read_bytes()
    for place in range(len(healthy)):
        damaged = bytearray(healthy)
        damaged[place] ^= 4
        (tmp_path / "damaged.safetensors").write_bytes(damaged)
        other = nn.Linear(3, 2)
        with contextlib.suppress(InputError):
            load_state(tmp_path / "damaged.safetensors", other)
            for name, value in model.state_dict().items():
                assert other.state_dict()[name].equal(value), f"{name}, byte {place}"


def test_weights_of_others_need_no_digest(tmp_path):
    model, file = nn.Linear(3, 2), tmp_path / "theirs.safetensors"
    safetensors.torch.save_file(model.state_dict(), file)
    assert read_state(file)["weight"].equal(model.weight)
    with pytest.raises(InputError, match="not those that were written"):
        load_state(file, model)
