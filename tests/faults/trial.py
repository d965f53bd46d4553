"""One fault: a file of a small world is damaged, and a command of the package meets it."""

import hashlib
import os
import shutil
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest.mock import patch

from tests.conftest import data_script
from tests.faults import mutations
from tests.faults.mutations import BYTES, TEXT, Mutation
from tests.faults.watching import answer
from tests.small_runs import figures, files, small_recipe
from wsss_lib import cli, recipes, toy
from wsss_lib.data.files import remove
from wsss_lib.data.sources import voc2012
from wsss_lib.pipeline.make import run_stages
from wsss_lib.pipeline.runs import Run

SPECIAL = 0.07  # the share of faults in which it is no file any more
MADE = (".npz", ".png", ".safetensors")
RUN = "runs/small"
TRAINING = f"{RUN}/checkpoints/classifier"
RUNS, LEARNS = "run small --quiet", "classifier small --quiet"
FOLDER, VOC = "prepare_folder photos out --val 0.5", "prepare_voc voc --tar voc.tar"


@dataclass(frozen=True)
class Target:
    """A kind of file, how it is damaged, and who meets it.

    Attributes:
        share: how many of a thousand faults are of this kind.
        needs: parts of the world that are copied for it.
        files: patterns of the files, of which one is damaged.
        mutations: one of which is done to it.
        commands: what is asked for, in turn; where the first refuses a file of a run, the second one mends.
        again: a stage of a run that is to be made again, since it reads the file.
    """

    share: int
    needs: tuple[str, ...]
    files: tuple[str, ...]
    mutations: Sequence[Mutation]
    command: str
    again: str | None = None


MAPS = (*BYTES, mutations.arrays, mutations.arrays, mutations.huge_array)
PHOTOS = (*BYTES, mutations.picture, mutations.picture, mutations.huge_picture)
MASKS = (*PHOTOS, mutations.mask_values)
SEEDS = (
    *BYTES,
    mutations.huge_picture,
)  # a whole mask of the right size is another seed, and no fault
XML = (*TEXT, *[mutations.xml] * 6)
JSON = (*BYTES, *[mutations.json_value] * 10)
WEIGHTS = (*BYTES, *[mutations.other_weights] * 4, mutations.pickled)
TARGETS = {
    "maps to evaluate": Target(
        150, ("data", RUN), (f"{RUN}/maps/cam/*.npz",), MAPS, f"evaluate {RUN}/maps/cam --data data"
    ),
    "masks to evaluate": Target(
        120,
        ("data", RUN),
        (f"{RUN}/masks/cam_masks/*.png",),
        MASKS,
        f"evaluate {RUN}/masks/cam_masks --data data",
    ),
    "true masks": Target(80, ("data",), ("data/SegmentationClass/train*.png",), MASKS, LEARNS),
    "photos": Target(100, ("data",), ("data/JPEGImages/[tv]*a*.jpg",), PHOTOS, LEARNS),
    "annotations": Target(120, ("data",), ("data/Annotations/train*.xml",), XML, LEARNS),
    "lists": Target(60, ("data",), ("data/ImageSets/Segmentation/[tv][ra]*.txt",), TEXT, LEARNS),
    "class names": Target(60, ("data",), ("data/labels.txt",), TEXT, LEARNS),
    "index": Target(50, ("data",), ("data/*.csv",), TEXT, LEARNS),
    "weights to start from": Target(
        40,
        ("data", "weights"),
        ("weights/*",),
        WEIGHTS,
        f"{LEARNS} --weights weights/toy.safetensors",
    ),
    "table of tags": Target(80, ("photos",), ("photos/tags.csv",), TEXT, FOLDER),
    "photos to prepare": Target(30, ("photos",), ("photos/*.jpg",), PHOTOS, FOLDER),
    "archive": Target(40, ("voc.tar",), ("voc.tar",), (*BYTES, *[mutations.members] * 4), VOC),
    "maps of a run": Target(14, ("data", RUN), (f"{RUN}/maps/cam/*.npz",), MAPS, RUNS, "cam_masks"),
    "seeds of a run": Target(8, ("data", RUN), (f"{RUN}/masks/seeds/*.png",), SEEDS, RUNS, "amn"),
    "weights of a run": Target(
        10, ("data", RUN), (f"{RUN}/checkpoints/classifier.safetensors",), WEIGHTS, RUNS, "cam"
    ),
    "state of a training": Target(
        14,
        ("data", RUN),
        (f"{TRAINING}/resume.pt",),
        (*BYTES, mutations.pickled),
        LEARNS,
        "classifier",
    ),
    "log of a training": Target(
        8, ("data", RUN), (f"{TRAINING}/log.jsonl",), TEXT, LEARNS, "classifier"
    ),
    "marks": Target(8, ("data", RUN), (f"{RUN}/stages/*.json",), JSON, RUNS),
    "metrics": Target(4, ("data", RUN), (f"{RUN}/metrics.json",), JSON, RUNS),
    "recipe and origin": Target(
        4, ("data", RUN), (f"{RUN}/recipe.json", f"{RUN}/provenance.json"), JSON, RUNS
    ),
}


def make_world(place: Path) -> Path:
    """Everything that a fault may meet: a dataset, a finished run, weights, photos with a table, VOC's archive."""
    toy.write(place / "data", train=8, val=4, test=1, size=32, progress=False)
    run_stages(small_recipe(place / "data"), place / RUN, progress=False)
    state_of_training(place)
    (place / "weights").mkdir()
    shutil.copy(toy_weights(), place / "weights/toy.safetensors")
    (place / "photos").mkdir()
    for file in (place / "data/JPEGImages").glob("train*"):
        shutil.copy(file, place / "photos")
    names = sorted(file.name for file in (place / "photos").iterdir())
    rows = [f"{name},{'cat;dog' if i % 2 else 'dog'}" for i, name in enumerate(names)]
    (place / "photos/tags.csv").write_text("\n".join(["file,tags", *rows, ""]))
    with tarfile.open(place / "voc.tar", "w") as archive:
        archive.add(place / "data", "VOCdevkit/VOC2012")
    return place


def toy_weights() -> Path:
    """The drawn dataset's pretrained backbone."""
    from wsss_lib.learning.architectures import TOY_WEIGHTS

    return TOY_WEIGHTS


def state_of_training(place: Path) -> None:
    """Leaves the state of a training that was stopped behind its first step."""
    from wsss_lib.learning import checkpoints

    other, kept = place / "runs/stopped", place / RUN / "checkpoints/classifier"
    save = checkpoints.Checkpoint.save

    def save_and_stop(self, step):
        save(self, step)
        raise KeyboardInterrupt

    checkpoints.Checkpoint.save = save_and_stop
    try:
        run_stages(small_recipe(place / "data"), other, targets=["classifier"], progress=False)
    except KeyboardInterrupt:
        shutil.copy(other / "checkpoints/classifier/resume.pt", kept)
    finally:
        checkpoints.Checkpoint.save = save
    shutil.rmtree(other)


def called(words: str) -> None:
    """Runs a command line of the package or of a data script."""
    program, *rest = words.split()
    if program.startswith("prepare"):
        script = data_script(program)
        # behind the checksum, which no damaged archive has
        with patch.object(voc2012, "checksum", lambda file: voc2012.MD5):
            script.main(rest)
    else:
        cli.main([program, *rest])


def attempt(name: str, seed: str, world: Path, place: Path) -> tuple[str, str]:
    """Damages a file and gives the command.

    Returns:
        What became of it: ``used`` (it was harmless, or is a legal file), ``refused``, ``mended`` or a fault; and in words.
    """
    target, rng = TARGETS[name], Random(f"{name} {seed}")
    for need in target.needs:
        source = world / need
        (shutil.copytree if source.is_dir() else shutil.copy)(source, (place / need))
    file = rng.choice(sorted(path for each in target.files for path in place.glob(each)))
    mutation = rng.choice(target.mutations)
    if target.again:
        forget(place / RUN, target.again)
    if rng.random() < SPECIAL:
        mutation = special
        special(file, rng, folders=not target.again)
    else:
        file.write_bytes(mutation(file.read_bytes(), rng))
    before, home = digests(place), Path.cwd()
    os.chdir(place)
    try:
        outcome, words = met(target, place, world, file)
    finally:
        os.chdir(home)
    if outcome in ("used", "refused") and (changed := damage(before, digests(place))):
        outcome, words = "lost", f"changed {changed}"
    if (place / "ran").exists():
        outcome, words = "code", "code of the file was run"
    return outcome, f"{mutation.__name__} of {file.relative_to(place)}: {words}"


def one(world: Path, place: Path, job: tuple[str, str]) -> tuple[str, str]:
    """One fault, a name and a seed, in a folder of its own below ``place``: the job of a process."""
    warnings.simplefilter("ignore")  # of Pillow, about files that are refused afterwards
    with tempfile.TemporaryDirectory(dir=place) as own:
        return attempt(*job, world, Path(own))


def special(file: Path, rng: Random, folders: bool) -> None:
    """Something else lies in the place of a file: nothing, a link to nothing, a pipe that nobody fills, a folder."""
    file.unlink()
    others = [lambda: None, lambda: file.symlink_to("nothing"), lambda: os.mkfifo(file), file.mkdir]
    rng.choice(others if folders else others[:-1])()


def met(target: Target, place: Path, world: Path, damaged: Path) -> tuple[str, str]:
    """What the command does, and where it refuses a file of a run, what the second one does."""
    with patch.dict(recipes.RECIPES, small=lambda: small_recipe("data")):
        return met_by_the_recipe(target, place, world, damaged)


def met_by_the_recipe(target: Target, place: Path, world: Path, damaged: Path) -> tuple[str, str]:
    """The same, where the command line knows the small recipe."""
    first = answer(lambda: called(target.command), place)
    if first.fault:
        return first.fault.partition(":")[0], first.fault
    if RUN not in target.needs or target.command not in (RUNS, LEARNS):
        return ("refused" if first.code else "used"), first.said
    if first.code and (words := mend(target.command, first.said, place)):
        return "lost", f"{first.said} Then: {words}"
    harmless = "" if first.code else str(damaged.relative_to(place / RUN))
    made, expected = (results(each / RUN, target.command, harmless) for each in (place, world))
    if made != expected:
        other = [name for name in expected if made.get(name) != expected[name]]
        return "lost", f"other results: {other[:5]}. {first.said}"
    return ("mended" if first.said else "used"), first.said


def mend(command: str, said: str, place: Path) -> str:
    """Does what a sentence asks for, and gives the same command again; returns why that did not help."""
    if "delete it" in said:
        remove(place / said.split()[1])
    if "is a folder" in said:
        (place / said.split()[1].rstrip(":")).rmdir()
    second = answer(lambda: called(command), place)
    if second.code and "--again" in second.said:
        second = answer(lambda: called(f"{command} --again"), place)
    return second.fault or (second.said if second.code else "")


def results(run: Path, command: str, harmless: str) -> dict[str, object]:
    """The files and figures that a command makes, but for a file that it has read as it should be."""
    made = {name: value for name, value in files(run, *MADE).items() if name != harmless}
    if command == LEARNS:
        name = "checkpoints/classifier.safetensors"
        return {name: made.get(name)}
    return made | figures(run)


def forget(run: Path, stage: str) -> None:
    """Removes a stage of a run, as if it were still to be made."""
    kept = run / "checkpoints/classifier"
    for output in Run(run).mark(stage)["outputs"]:
        path = run / output
        if path.is_dir() and path != kept:
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    if stage == "classifier":
        Run(run).undo(stage)
    else:
        (run / f"stages/{stage}.json").unlink()


def digests(place: Path) -> dict[str, str]:
    """What is in the files of a world that are the user's."""
    own = [path for path in place.rglob("*") if path.is_file() and "runs" not in path.parts]
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in own
        if path.suffix != ".csv" or path.parent.name == "photos"
    }


def damage(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The files of the user that are gone or have changed."""
    return [name for name in before if after.get(name) != before[name]]


def counted(results: Sequence[tuple[str, str]]) -> Counter:
    """How often each outcome was met."""
    return Counter(outcome for outcome, _ in results)
