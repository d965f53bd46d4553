"""Files of maps: exact, small, and never half-read."""

import os

import numpy as np
import pytest
import torch

from wsss_lib.data.maps import CorruptMap, load_map, save_map


def test_a_map_comes_back_as_float16_kept_it(tmp_path):
    maps = torch.rand(2, 16, 12)
    save_map(tmp_path / "a.npz", [4, 1], maps, (128, 96))
    classes, back, size = load_map(tmp_path / "a.npz")
    assert classes.tolist() == [4, 1] and classes.dtype == torch.int64
    assert torch.equal(back, maps.half().float())
    assert size == (128, 96)


def test_a_photo_without_classes_has_an_empty_map(tmp_path):
    save_map(tmp_path / "a.npz", [], torch.zeros(0, 16, 12), (128, 96))
    classes, maps, _ = load_map(tmp_path / "a.npz")
    assert classes.shape == (0,) and maps.shape == (0, 16, 12)


def test_the_same_map_is_the_same_bytes(tmp_path):
    maps = torch.rand(1, 4, 4)
    for name in "ab":
        save_map(tmp_path / f"{name}.npz", torch.tensor([2]), maps, torch.Size((8, 8)))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.1, -0.1])
def test_a_value_that_is_no_map_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        save_map(tmp_path / "a.npz", [0], torch.full((1, 2, 2), value), (4, 4))
    assert not list(tmp_path.iterdir())


def test_rounding_is_clipped(tmp_path):
    save_map(tmp_path / "a.npz", [0], torch.tensor([[[1 + 1e-6, -1e-6]]]), (1, 2))
    assert load_map(tmp_path / "a.npz")[1].tolist() == [[[1.0, 0.0]]]


def test_every_truncation_is_noticed(tmp_path):
    save_map(tmp_path / "a.npz", [0], torch.rand(1, 3, 3), (9, 9))
    whole = (tmp_path / "a.npz").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "b.npz").write_bytes(whole[:length])
        with pytest.raises(CorruptMap):
            load_map(tmp_path / "b.npz")


def test_a_flipped_bit_is_noticed(tmp_path):
    save_map(tmp_path / "a.npz", [0], torch.full((1, 30, 30), 0.3), (9, 9))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[data.index(np.float16(0.3).tobytes() * 8) + 5] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(CorruptMap):
        load_map(tmp_path / "a.npz")


@pytest.mark.parametrize("classes", [[np.nan], [1e30], [0.5], [-1], ["a"]])
def test_classes_are_counted_from_zero(tmp_path, classes):
    one = np.ones((1, 2, 2), np.float16)
    np.savez(tmp_path / "map.npz", classes=np.array(classes), map=one, size=np.array([4, 4]))
    with pytest.raises(CorruptMap, match="classes"):
        load_map(tmp_path / "map.npz")


def test_a_pickle_is_not_executed(tmp_path):
    np.savez(tmp_path / "a.npz", map=np.array([os.getpid], dtype=object), allow_pickle=True)
    with pytest.raises(CorruptMap):
        load_map(tmp_path / "a.npz")


def test_a_missing_map_is_not_a_corrupt_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_map(tmp_path / "a.npz")
