"""Makes one stage in each folder; `test_stages` starts this with torchrun."""

import sys
from pathlib import Path

from tests.pipeline.test_stages import recipe_of
from wsss_lib.pipeline.make import make_stages

if __name__ == "__main__":
    root, folder = map(Path, sys.argv[1:])
    for run in sorted(folder.iterdir()):
        make_stages(recipe_of(root), run, targets=[run.name.split("-")[0]], progress=False)
