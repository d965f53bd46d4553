"""Where a result comes from."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import wsss_lib
from wsss_lib.pipeline.provenance import provenance

GIT = shutil.which("git")


def test_it_names_versions_machine_and_command(monkeypatch):
    command = ["bin/wsss_lib/__main__.py", "run", "toy", "--name", "a b"]
    monkeypatch.setattr(sys, "argv", command)
    facts = provenance(3)
    assert facts["torch"] == torch.__version__ and facts["numpy"] == np.__version__
    assert facts["wsss_lib"] == wsss_lib.__version__
    assert facts["command"] == "python -m wsss_lib run toy --name 'a b'"
    assert facts["seed"] == 3 and facts["processes"] == 1
    assert {"date", "python", "torchvision", "device", "platform", "cpu_count"} <= set(facts)
    assert json.loads(json.dumps(facts)) == facts


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository that pretends to be the one this package is run from."""

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    package = tmp_path / "wsss_lib"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(wsss_lib, "__file__", str(package / "__init__.py"))
    return package


@pytest.mark.skipif(GIT is None, reason="needs git")
def test_it_names_the_commit_and_whether_the_code_was_changed(checkout):
    clean = provenance()
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (checkout / "__init__.py").write_text("changed")
    assert provenance() == {**provenance(), "commit": clean["commit"], "dirty": True}


@pytest.mark.skipif(GIT is None, reason="needs git")
def test_an_installed_copy_does_not_name_the_repository_around_it(checkout, monkeypatch):
    copy = checkout.parent / ".venv" / "site-packages" / "wsss_lib"
    copy.mkdir(parents=True)
    monkeypatch.setattr(wsss_lib, "__file__", str(copy / "__init__.py"))
    assert provenance()["commit"] is None


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", str(Path("nowhere")))
    assert provenance()["commit"] is None
