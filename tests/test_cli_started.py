"""The command line in processes of its own: how soon it answers, and who speaks."""

import ast
import json
import os
import subprocess
import sys
import time

import pytest

from tests.test_house import ROOT
from wsss_lib.recipes import RECIPES


@pytest.fixture
def without_torch(tmp_path):
    """An environment in which importing PyTorch does what a test says."""

    def environment(statement):
        (tmp_path / "fake").mkdir()
        (tmp_path / "fake/torch.py").write_text(statement)
        return {**os.environ, "PYTHONPATH": f"{tmp_path / 'fake'}{os.pathsep}{ROOT}"}

    return environment


def started(*arguments, **more):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "wsss_lib", *arguments]
    return subprocess.run(command, text=True, stderr=subprocess.PIPE, **more)


def test_help_and_mistyped_words_wait_for_nothing(without_torch):
    """PyTorch takes seconds to import, and nobody needs it to read a text."""
    environment, times = without_torch("raise SystemExit('torch was imported')"), []
    answers = {
        (): 0, ("--help",): 0, ("-h",): 0, ("help",): 0, ("run",): 0, ("run", "--help"): 0, ("cam",): 0,
        ("rum",): 2, ("rum", "toy"): 2, ("run", "toi"): 2, ("cam", "toi", "--help"): 2, ("report",): 2,
        ("evaluate", "--help"): 0, ("evaluate", "maps", "--data", "x", "--threshold", "2"): 2,
    }  # fmt: skip
    for arguments, code in answers.items():
        start = time.perf_counter()
        done = started(*arguments, env=environment, stdout=subprocess.PIPE)
        times.append(time.perf_counter() - start)
        assert done.returncode == code and "torch was imported" not in done.stderr, arguments
        assert ("wsss STAGE RECIPE" in done.stdout) == (code == 0 and "evaluate" not in arguments)
    assert min(times) < 1  # on a busy machine most of them may wait


def test_what_help_reads_is_what_is_there(without_torch):
    """Recipes and stages are read from the source, where importing it would take too long."""
    code = "from wsss_lib.cli import vocabulary; print(*vocabulary(), sep='\\n')"
    environment = without_torch("raise SystemExit('torch was imported')")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    recipes, stages = map(ast.literal_eval, done.stdout.splitlines())
    assert recipes == {name: make.__doc__.splitlines()[0] for name, make in RECIPES.items()}
    assert set(stages) == {name for make in RECIPES.values() for name in make().stages}


@pytest.mark.parametrize("arguments", ["--help", "run toy-quick --help", "evaluate --help"])
def test_a_reader_who_has_gone_is_no_error(arguments):
    """``wsss ... | head``, where head has ended first."""
    reader, writer = os.pipe()
    os.close(reader)
    done = started(*arguments.split(), stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + 13, "")


def test_a_reader_of_errors_who_has_gone_is_none_either():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "wsss_lib", "rum"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    assert (done.returncode, done.stdout) == (128 + 13, b"")


def test_stopped_while_it_imports(without_torch):
    done = started("cam", "toy-quick", env=without_torch("raise KeyboardInterrupt"))
    assert done.returncode == 130
    assert done.stderr == "wsss: stopped; the same command goes on from here\n"


def test_two_processes_make_one_run(tmp_path):
    """Each photo is taken care of by one of them; also on a machine without a GPU."""
    command = "--nproc-per-node 2 -m wsss_lib cam toy-quick --name two --quiet".split()
    settings = "--data.draw-photos 8 4 2 --classifier.training.epochs 1".split()
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", *command, *settings],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    run = tmp_path / "runs/two"
    origin = json.loads((run / "provenance.json").read_text())
    assert origin["processes"] == 2 and "continued" not in origin
    assert len(list((run / "maps/cam").iterdir())) == 8


def test_two_processes_refuse_once(tmp_path):
    command = "--nproc-per-node 2 -m wsss_lib cam toy-quick --weights nowhere.pth".split()
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("wsss: ")]
    assert len(said) == 1 and "nowhere.pth" in said[0] and "exitcode  : 2" in done.stderr


def test_a_console_that_does_not_know_a_sign_shows_its_number(own_root):
    """As the consoles of Windows do with most scripts."""
    file = own_root / "labels.txt"
    file.write_text(file.read_text().replace("plum", "猫").replace("leaf", "é"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "wsss_lib", "evaluate", str(own_root / "SegmentationClass")]
        + ["--data", str(own_root)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
    )
    said = done.stdout.decode("cp1252")
    assert done.returncode == 0, done.stderr
    assert "  \\u732b " in said and "  é " in said
