"""A long list of photos: what it takes to look at all of them, and to open the list again by its index."""

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.test_house import ROOT
from wsss_lib.data import annotations, layout
from wsss_lib.data.index import read_index

LENGTHS = (10_582, 82_081)  # train_aug of VOC, and train of COCO 2014
OBJECTS = 3  # a photo
LINKS = 1000  # to one file; file systems have limits
BAR = 6  # a photo of 4 x 4 pixels is decoded in no time: with real ones the ratio is far higher


def benchmark() -> dict:
    """Opens each list twice, each time in a process of its own; asserts that both find the same."""
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        for length in LENGTHS:
            root = Path(folder) / str(length)
            draw(root, length)
            first, second = in_a_process(root), in_a_process(root)
            assert first["found"] == second["found"]
            measured[f"photos_{length}"] = {
                "first_opening_s": first["seconds"],
                "opening_s": second["seconds"],
                "first_opening_MiB": first["MiB"],
                "opening_MiB": second["MiB"],
                "index_MiB": round((root / "train.csv").stat().st_size / 2**20, 1),
            }
    ratio = round(first["seconds"] / second["seconds"], 1)  # of the longest
    return {**measured, "ratio": ratio, "bar": BAR}


def draw(root: Path, length: int) -> None:
    """A list of tiny photos with the same three objects; most are links, since writing so many files takes minutes."""
    for folder in (layout.PHOTOS, layout.ANNOTATIONS):
        (root / folder).mkdir(parents=True)
    objects = [(f"class {number}", (1, 1, 3, 3)) for number in range(OBJECTS)]
    for number in range(length):
        photo, xml = (
            root / layout.PHOTOS / f"{number}.jpg",
            root / layout.ANNOTATIONS / f"{number}.xml",
        )
        if number % LINKS == 0:
            Image.new("RGB", (4, 4), "grey").save(photo)
            annotations.write_annotation(xml, id="one", size_HW=(4, 4), objects=objects)
            originals = photo, xml
        else:
            os.link(originals[0], photo)
            os.link(originals[1], xml)
    layout.write_lines(root / layout.SPLITS / "train.txt", map(str, range(length)))


def in_a_process(root: Path) -> dict:
    """Opens the list in a fresh process, since memory that was once taken stays with a process."""
    command = [sys.executable, "-m", "tests.benchmarks.dataset_index", str(root)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def opened(root: Path) -> dict:
    """Seconds for opening the list, the memory that it took at most, and what was found."""
    before, start = peak(), time.perf_counter()
    index = read_index(root, "train")
    seconds = round(time.perf_counter() - start, 2)
    taken, found = peak() - before, json.dumps([index.sizes, index.digests, index.objects])
    found = hashlib.sha256(found.encode()).hexdigest()
    return {"seconds": seconds, "MiB": round(taken, 1), "found": found}


def peak() -> float:
    """The largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(opened(Path(sys.argv[1]))))
