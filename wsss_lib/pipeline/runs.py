"""A run's folder: what was asked, what was made, by which code, and what it measured.

::

    runs/<name>/recipe.json                the settings of every stage, as they were asked for last
                provenance.json            versions, code, machine, command line, date of every start
                stages/<stage>.json        its mark: fingerprint, files, figures, and whether it is done
                metrics.json               the figures of all marks, {stage: {number: value, ..., "seconds": ...}}
                report.html                written by wsss_lib.pipeline.report
                checkpoints/<stage>...     weights; beside them the log of their training
                <kind>/<stage>/<id>...     maps, masks, labels, predictions: see wsss_lib.pipeline.kinds

A run may be killed at any moment and started again. Every file is written aside and renamed, so it is whole or not there. The
mark of a stage says under which fingerprint its files are being made, and "done" is written last. So the second start keeps
what the first one finished, and ends with the same files (on a CPU to the byte). What was made under another fingerprint is
removed only by `Run.begin`, which `wsss_lib.pipeline.make` calls when it was asked to.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from wsss_lib.data.files import atomic, read_json, remove, remove_abandoned, write_json
from wsss_lib.data.layout import InputError
from wsss_lib.pipeline.fingerprints import fingerprint, plain
from wsss_lib.pipeline.provenance import provenance

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
LOG = ".jsonl"  # the one kind of file that is appended to
NOTHING = {
    "key": "",
    "of": {},
    "shown": {},
    "done": False,
    "outputs": [],
    "starts": 0,
    "figures": {},
    "digest": "",
}


@contextlib.contextmanager
def full_disk_is_said(folder: Path) -> Iterator[None]:
    """Turns the error of any writer that found no space into one sentence.

    Raises:
        InputError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise InputError(
                f"{folder} could not be written: its disk is full. Everything finished is kept: free some space and give the "
                "same command again."
            ) from error
        raise


class Run:
    """The folder of a run, which may not be there yet; `Run.existing` asks that it is.

    Only one process of a run may call the methods that write.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def existing(cls, folder: str | Path) -> Run:
        """A run that was begun.

        Raises:
            InputError: there is no run in this folder.
        """
        run = cls(folder)
        if not (run.folder / "recipe.json").is_file():
            raise InputError(f"{folder} holds no run: give the folder of one, such as runs/toy")
        return run

    def start(self, recipe: object, *, seed: int | None = None) -> None:
        """Makes the folder, or goes on with it: notes the recipe, and who started it, and when.

        Raises:
            InputError: the disk is full.
        """
        recipe, file = plain(recipe), self.folder / "provenance.json"
        with full_disk_is_said(self.folder):
            now = provenance(seed) | {"folder": str(Path.cwd())}  # of relative paths
            if file.is_file():
                first = self.provenance
                before = {} if self.recipe == recipe else {"recipe_before": self.recipe}
                now = first | {"continued": [*first.get("continued", []), now | before]}
            write_json(self.folder / "recipe.json", recipe)
            write_json(file, now)
            remove_abandoned(self.folder.rglob(".*.part"))

    @property
    def recipe(self) -> dict:
        """What was asked for last."""
        return read_dict(self.folder / "recipe.json")

    @property
    def provenance(self) -> dict:
        """That of the first start, and under ``continued`` a list of the later ones."""
        return read_dict(self.folder / "provenance.json")

    def mark(self, stage: str) -> dict:
        """What is known of a stage: ``key``, what it stands for (``of``), ``done``, ``outputs``, ``figures``.

        If that is not what was written, the stage counts as not done: its files are kept, and measured again.
        """
        known = read_dict(self._mark_file(stage))
        sound = {n: known[n] for n in NOTHING.keys() & known if type(known[n]) is type(NOTHING[n])}
        mark = NOTHING | sound
        if mark["digest"] != digest(mark):
            mark |= {"done": False, "figures": {}}
        return mark | {"outputs": [each for each in mark["outputs"] if inside(each)]}

    def figures(self, stages: Sequence[str]) -> dict[str, dict]:
        """All that was measured when these stages were made."""
        marks = {name: self.mark(name) for name in stages}
        return {name: mark["figures"] for name, mark in marks.items() if mark["done"]}

    def metrics(self) -> dict[str, dict]:
        """All that was measured so far, stage by stage, as it stands in ``metrics.json``."""
        return read_dict(self.folder / "metrics.json")

    def fresh(self, stage: str, key: str) -> bool:
        """Whether the stage was finished under this fingerprint and its files are still there."""
        mark = self.mark(stage)
        return mark["key"] == key and mark["done"] and all(map(self.has, mark["outputs"]))

    def has(self, output: str) -> bool:
        """Whether a file or a folder is there, relative to the run's."""
        return (self.folder / output).exists()

    def begin(
        self, stage: str, key: str, of: dict, outputs: Sequence[str], shown: dict | None = None
    ) -> None:
        """Marks a stage as being made; what is there of another fingerprint is removed first.

        Args:
            stage: its name.
            key: its fingerprint.
            of: what the fingerprint stands for.
            outputs: the files and folders that it makes, relative to the run's folder.
            shown: what a report says of it.
        """
        mark = self.mark(stage)
        if mark["key"] != key:
            self._mark_file(stage).unlink(missing_ok=True)
            for output in {*mark["outputs"], *outputs}:
                remove(self.folder / output)
            mark = NOTHING
        begun = {"key": key, "of": plain(of), "outputs": sorted(outputs), "shown": plain(shown)}
        self._write_mark(stage, NOTHING | begun | {"starts": mark["starts"] + 1})

    def finish(self, stage: str, key: str, figures: dict, seconds: float) -> None:
        """Marks a stage as done, with all that was measured.

        Args:
            stage: its name.
            key: its fingerprint.
            figures: what was measured.
            seconds: of its last start; where there were several, their number is recorded as ``starts``.
        """
        mark = self.mark(stage)
        if mark["key"] != key:
            raise RuntimeError(f"stage {stage} is finished without having begun")
        starts = {"starts": mark["starts"]} if mark["starts"] > 1 else {}
        figures = plain(figures | {"seconds": seconds} | starts)
        self._write_mark(stage, mark | {"done": True, "figures": figures})

    def undo(self, stage: str) -> None:
        """Marks a stage as not done, so that the next start makes what is missing of it."""
        self._write_mark(stage, self.mark(stage) | {"done": False})

    def maker(self, file: Path) -> str | None:
        """The stage that made a file of this run."""
        path = Path(os.path.abspath(file))
        for mark in sorted((self.folder / "stages").glob("*.json")):
            outputs = self.mark(mark.stem)["outputs"]
            made = [Path(os.path.abspath(self.folder / each)) for each in outputs]
            if any(path == each or each in path.parents for each in made):
                return mark.stem
        return None

    def reuse(self, other: Run, stage: str, key: str) -> bool:
        """Takes over what another run has made of a stage under the same fingerprint, finished or not.

        Files are hard-linked where the disk allows it and copied where not. No such file is ever changed in place, so the
        two runs stay independent; a log, which is written on, is copied.

        Returns:
            Whether the stage is done with it.
        """
        mark = other.mark(stage)
        if mark["key"] != key:
            return False
        with full_disk_is_said(self.folder):
            self.begin(stage, key, mark["of"], mark["outputs"], mark["shown"])
            for output in filter(other.has, mark["outputs"]):
                _link(other.folder / output, self.folder / output)
            if mark["done"]:
                figures = {**mark["figures"], "reused_from": other.folder.name}
                self.finish(stage, key, figures, figures["seconds"])
        return mark["done"]

    def _mark_file(self, stage: str) -> Path:
        return self.folder / "stages" / f"{stage}.json"

    def _write_mark(self, stage: str, mark: dict) -> None:
        write_json(self._mark_file(stage), mark | {"digest": digest(mark)})


def read_dict(file: Path) -> dict:
    """What a JSON file of a run holds; nothing if it is not there, or is not a dict."""
    value = read_json(file) if file.exists() else {}
    return value if isinstance(value, dict) else {}


def digest(mark: dict) -> str:
    """Stands for all that a mark says."""
    return fingerprint({name: mark[name] for name in NOTHING if name != "digest"})


def inside(output: object) -> bool:
    """Whether something is the name of a file or folder below the run's: only such may be removed."""
    parts = PurePath(output).parts if isinstance(output, str) else ()
    return bool(parts) and not PurePath(output).is_absolute() and ".." not in parts


def difference(old: object, new: object, name: str = "") -> str:
    """Where two settings differ first, in words; empty if they do not."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *new]:
            if key not in old or key not in new or old[key] != new[key]:
                below = f"{name}.{key}" if name else key
                return difference(old.get(key), new.get(key), below)
        return ""
    return f"{name} was {json.dumps(old)}, now {json.dumps(new)}"


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for entry in source.iterdir():
            if not entry.name.endswith(".part"):
                _link(entry, target / entry.name)
        return
    with atomic(target) as aside:
        try:
            (shutil.copy2 if source.suffix == LOG else os.link)(source, aside)
        except OSError:  # another disk, or one without links
            shutil.copy2(source, aside)
