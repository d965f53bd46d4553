"""Names that stand for settings, and settings as JSON."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from wsss_lib.pipeline.fingerprints import fingerprint, plain


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    epochs: int = 12
    rates: tuple[float, ...] = (0.1, 0.01)
    root: Path = Path("data/toy")


def test_a_fingerprint_depends_on_every_setting_and_on_nothing_else():
    one = fingerprint({"a": 1, "b": (2.0, None)}, "upstream")
    assert one == fingerprint({"b": [2.0, None], "a": 1}, "upstream")
    assert one != fingerprint({"a": 1, "b": (2.0, None)}, "other")
    assert one != fingerprint({"a": 2, "b": (2.0, None)}, "upstream")
    assert fingerprint(Settings()) != fingerprint(Settings(rates=(0.1, 0.02)))


def test_a_fingerprint_is_the_same_everywhere():
    """Runs of another machine or day may be taken over."""
    assert fingerprint({"b": [1, 2.5], "a": None}, "x").startswith("fd429340af8a")


def test_plain_keeps_what_json_knows_and_every_digit():
    value = {"a": [1, 0.1 + 0.2, "x", None, True], "b": {"c": -0.0}}
    assert json.loads(json.dumps(plain(value))) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Settings(), {"epochs": 12, "rates": [0.1, 0.01], "root": "data/toy"}),
        ((1, (2, 3)), [1, [2, 3]]),
        ({1: float("nan")}, {"1": None}),
        (float("inf"), None),
        (np.float64(0.5), 0.5),
        (np.arange(2), [0, 1]),
        (torch.tensor([[0.5, float("nan")]]), [[0.5, None]]),
    ],
)
def test_plain_brings_the_rest_to_it(value, expected):
    assert plain(value) == expected


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", Settings])
def test_plain_refuses_what_it_would_have_to_guess(value):
    with pytest.raises(TypeError):
        plain(value)
