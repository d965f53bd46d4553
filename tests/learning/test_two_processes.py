"""Two processes learn what one learns: losses are means over the whole batch, checkpoints hold for both."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.learning.by_two_processes import CASES, STEPS, trained

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """A folder with the weights that two processes have learned in each case."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = ["--nproc-per-node", "2", "-m", "tests.learning.by_two_processes", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def assert_learned(folder, name, case):
    two = load_file(folder / f"{name}.safetensors")
    for key, value in trained(case).state_dict().items():
        torch.testing.assert_close(two[key], value.cpu(), rtol=1e-7, atol=1e-9, msg=key)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_learns(case, by_two):
    assert_learned(by_two, case, case)


@pytest.mark.parametrize("name", ["goes on", "begins anew"])
def test_two_processes_that_are_killed_end_as_if_nothing_had_happened(name, by_two):
    assert_learned(by_two, name, "balanced")


def test_both_go_on_from_a_checkpoint_or_none_does(by_two):
    seen = json.loads((by_two / "seen.json").read_text())
    assert (seen["goes on"], seen["begins anew"]) == (STEPS - 2, STEPS)


def test_gradients_are_exchanged_once_a_step(by_two):
    seen = json.loads((by_two / "seen.json").read_text())
    assert seen["exchanges"] == [False, True] * STEPS


def test_the_log_has_the_loss_of_the_whole_batch(by_two, tmp_path):
    trained("balanced", folder=tmp_path)
    one, two = (last_loss(folder) for folder in (tmp_path, by_two))
    assert two == pytest.approx(one, rel=1e-6)  # it is added up in float32


def last_loss(folder):
    return json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["loss"]
