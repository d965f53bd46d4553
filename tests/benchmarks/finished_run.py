"""A finished run on a long list of photos: how long it takes to see that nothing is to be done."""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tests.test_house import ROOT
from wsss_lib.data import annotations, layout

LENGTHS = (10_582, 82_081)  # train_aug of VOC, and train of COCO 2014
BAR = 8.0  # opened again, a list is that many times faster than when it was looked at first


def benchmark() -> dict:
    """Opens, plans and resumes a finished run, each list in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        measured = {}
        for length in LENGTHS:
            root = Path(folder) / str(length)
            draw(root, length)
            first, second = (measure(root) for _ in range(2))
            measured |= {
                f"photos_{length}": {
                    "first_opening_s": first["opening_s"],
                    "opening_s": second["opening_s"],
                    "resuming_s": second["resuming_s"],
                    "peak_MiB": second["peak_MiB"],
                    "before_MiB": second["before_MiB"],
                }
            }
        last = measured[f"photos_{LENGTHS[-1]}"]
        ratio = round(last["first_opening_s"] / last["opening_s"], 1)
        return {**measured, "ratio": ratio, "bar": BAR}


def measure(root: Path) -> dict:
    """The times of one start in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.finished_run", str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def draw(root: Path, length: int) -> None:
    """A list of tiny photos, three classes in turn."""
    for folder in (layout.PHOTOS, layout.ANNOTATIONS):
        (root / folder).mkdir(parents=True)
    names = ["background", "a", "b", "c"]
    photo = root / layout.PHOTOS / "0.jpg"
    Image.fromarray(np.full((4, 4, 3), 128, np.uint8)).save(photo)
    pixels = photo.read_bytes()
    for number in range(length):
        (root / layout.PHOTOS / f"{number}.jpg").write_bytes(pixels)
        xml = root / layout.ANNOTATIONS / f"{number}.xml"
        objects = [(names[1 + number % 3], (1, 1, 3, 3))]
        annotations.write_annotation(xml, id=str(number), size_HW=(4, 4), objects=objects)
    layout.write_lines(root / layout.SPLITS / "train.txt", map(str, range(length)))
    layout.write_lines(root / layout.SPLITS / "val.txt", ["0", "1", "2"])
    layout.write_lines(root / layout.LABELS, names)


def start(root: Path) -> dict:
    """Opens the list; marks every stage as done, as if it had been made; goes on with the run."""
    import resource
    import time

    from wsss_lib.pipeline.make import make_stages, opened, plan
    from wsss_lib.recipes import toy

    def peak() -> float:
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)

    recipe = toy()
    recipe = replace(recipe, data=replace(recipe.data, root=str(root), draw_seed=None))
    before, begin = peak(), time.perf_counter()
    work = opened(recipe, root / "run", False)
    opening = time.perf_counter() - begin
    for each in plan(work):
        run, outputs = work.run, [f"maps/{each.name}"]
        run.begin(each.name, each.key, each.of, outputs, {"title": each.name})
        (run.folder / outputs[0]).mkdir(parents=True, exist_ok=True)
        run.finish(each.name, each.key, {"miou": 0.5}, 1.0)
    begin = time.perf_counter()
    make_stages(recipe, work.run.folder, progress=False)
    return {
        "opening_s": round(opening, 2),
        "resuming_s": round(time.perf_counter() - begin, 2),
        "before_MiB": before,
        "peak_MiB": peak(),
    }


if __name__ == "__main__":
    print(json.dumps(start(Path(sys.argv[1]))))
