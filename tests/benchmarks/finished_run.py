"""A finished run on a long list of photos: how long it takes to see that nothing is to be done."""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.dataset_index import LENGTHS, OBJECTS, draw, peak
from tests.test_house import ROOT
from wsss_lib.data import layout
from wsss_lib.pipeline.make import make_stages, opened, plan
from wsss_lib.recipes import toy

BAR = 2  # a start is that many times faster than the first one, which has looked at every photo


def benchmark() -> dict:
    """Starts a run that has nothing to do, each time in a process of its own."""
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        for length in LENGTHS:
            root = Path(folder) / str(length)
            draw(root, length)
            layout.write_lines(root / layout.SPLITS / "val.txt", ["0", "1", "2"])
            names = ["background", *(f"class {number}" for number in range(OBJECTS))]
            layout.write_lines(root / layout.LABELS, names)
            first, second = in_a_process(root), in_a_process(root)
            measured[f"photos_{length}"] = {"first": first, "again": second}
    ratio = round(first["start_s"] / second["start_s"], 1)  # of the longest
    return {**measured, "ratio": ratio, "bar": BAR}


def in_a_process(root: Path) -> dict:
    """One start in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.finished_run", str(root)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def start(root: Path) -> dict:
    """Opens the list, then goes on with the run; the first time every stage is marked as if it had been made."""
    recipe = toy()
    recipe = replace(recipe, data=replace(recipe.data, root=str(root), draw_seed=None))
    before, begin = peak(), time.perf_counter()
    work = opened(recipe, root / "run", False)
    opening, stages = time.perf_counter() - begin, plan(work)
    for each in (each for each in stages if each.state == "new"):
        outputs = [f"maps/{each.name}"]
        work.run.begin(each.name, each.key, each.of, outputs, {"title": each.name})
        (work.run.folder / outputs[0]).mkdir(parents=True)
        work.run.finish(each.name, each.key, {"miou": 0.5}, 1.0)
    begin = time.perf_counter()
    make_stages(recipe, work.run.folder, progress=False)
    resuming = time.perf_counter() - begin
    return {
        "opening_s": round(opening, 2),
        "resuming_s": round(resuming, 2),
        "start_s": round(opening + resuming, 2),
        "MiB": round(peak() - before, 1),
    }


if __name__ == "__main__":
    print(json.dumps(start(Path(sys.argv[1]))))
