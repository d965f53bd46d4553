"""The small run in a process of its own: ``python -m tests.faults.small_run DATA FOLDER``, also under torchrun."""

import sys
from dataclasses import replace
from pathlib import Path

from tests.small_runs import small_recipe
from wsss_lib.exits import in_one_sentence
from wsss_lib.pipeline.make import run_stages
from wsss_lib.recipes import Segmentation


def recipe(data: Path) -> Segmentation:
    """The small recipe without dropout, which every process draws for itself."""
    small = small_recipe(data)
    return replace(small, amn=replace(small.amn, dropout=0.0))


if __name__ == "__main__":
    with in_one_sentence():
        run_stages(recipe(Path(sys.argv[1])), sys.argv[2], progress=False)
