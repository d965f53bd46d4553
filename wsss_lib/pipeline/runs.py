"""A run's folder: what was asked, what was made, by which code, and what it measured.

::

    runs/<name>/recipe.json                the settings of every stage
                provenance.json            versions, code, machine, command line, date
                metrics.json               {stage: {number: value, ..., "seconds": ...}}
                report.html                written by wsss_lib.pipeline.report
                stages/<stage>.json        the stage's fingerprint, its files, and whether it is done
                checkpoints/               weights
                maps/<cam|advcam|amn>/     <id>.npz, see save_map
                seeds/                     <id>.png, 255 where unsure
                amn_labels/                <id>.png, what AMN says before it is held to the tags
                pseudo_masks/<source>/     <id>.png
                predictions/<network>/     <id>.png

A run may be killed at any moment and started again. Every file is written aside and renamed, so it is whole or not there. The
mark of a stage says under which fingerprint its files are being made; files of another fingerprint are removed before the stage
begins, and "done" is written last. So the second start keeps what the first one finished, and ends with the same files.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from wsss_lib.data.files import atomic, read_json, write_json
from wsss_lib.data.layout import InputError
from wsss_lib.data.maps import CorruptMap, load_map, save_map
from wsss_lib.pipeline.fingerprints import fingerprint, plain
from wsss_lib.pipeline.provenance import provenance

__all__ = [
    "CorruptMap",
    "Run",
    "atomic",
    "fingerprint",
    "full_disk_is_said",
    "load_map",
    "plain",
    "read_json",
    "save_map",
    "write_json",
]

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# PyTorch and safetensors say it in words only
DISK_FULL_WORDS = ("No space left on device", "unexpected pos", "PytorchStreamWriter failed")
ABANDONED_AFTER = 3600  # seconds; nobody takes as long to write one file


@contextlib.contextmanager
def full_disk_is_said(folder: Path) -> Iterator[None]:
    """Turns the error of any writer that found no space into one sentence.

    Raises:
        InputError: the disk is full.
    """
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in DISK_FULL
        if full or any(words in str(error) for words in DISK_FULL_WORDS):
            raise InputError(
                f"{folder} could not be written: its disk is full. Everything finished is kept: free some space and give the "
                "same command again."
            ) from error
        raise


class Run:
    """The folder of a run that exists; :meth:`create` makes one.

    Only one process of a run may call the methods that write.

    Raises:
        InputError: there is no run in this folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "recipe.json").is_file():
            raise InputError(
                f"{self.folder} holds no run: give the folder of one, such as runs/toy"
            )

    @classmethod
    def create(cls, folder: str | Path, recipe: object, *, seed: int | None = None) -> Run:
        """Makes a run's folder, or opens the one that was made with the same recipe, to go on with it.

        Raises:
            InputError: the folder belongs to another recipe, or the disk is full.
        """
        folder, recipe = Path(folder), plain(recipe)
        with full_disk_is_said(folder):
            if not (folder / "recipe.json").is_file():
                write_json(folder / "recipe.json", recipe)
            run = cls(folder)
            if run.recipe != recipe:
                raise InputError(
                    f"{folder} was made with another recipe ({_difference(run.recipe, recipe)}): give the run another name, or "
                    "remove the folder"
                )
            run._note_start(seed)
            run._remove_abandoned()
        return run

    @property
    def recipe(self) -> dict:
        return read_json(self.folder / "recipe.json")

    @property
    def provenance(self) -> dict:
        """That of the first start, and under ``continued`` a list of the later ones."""
        return read_json(self.folder / "provenance.json")

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def seeds(self) -> Path:
        return self.folder / "seeds"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions"

    @property
    def amn_labels(self) -> Path:
        return self.folder / "amn_labels"

    def maps(self, stage: str) -> Path:
        return self.folder / "maps" / stage

    def pseudo_masks(self, source: str) -> Path:
        return self.folder / "pseudo_masks" / source

    def metrics(self) -> dict[str, dict]:
        """All that was measured so far, stage by stage."""
        file = self.folder / "metrics.json"
        return read_json(file) if file.is_file() else {}

    def record(self, stage: str, values: dict) -> None:
        """Adds measurements of a stage to ``metrics.json``, in place of older ones of the same name."""
        metrics = self.metrics()
        metrics[stage] = metrics.get(stage, {}) | plain(values)
        write_json(self.folder / "metrics.json", metrics)

    def fresh(self, stage: str, key: str) -> bool:
        """Whether the stage was finished under this fingerprint and its files are still there."""
        mark = self._mark(stage)
        return mark["fingerprint"] == key and mark["done"] and self._has(mark["outputs"])

    @contextlib.contextmanager
    def stage(self, stage: str, key: str, outputs: Sequence[str]) -> Iterator[dict]:
        """Surrounds the making of a stage: ``begin``, and ``finish`` with the time it took.

        Gives a dict for what the stage measures.

        Raises:
            InputError: the disk is full.
        """
        with full_disk_is_said(self.folder):
            self.begin(stage, key, outputs)
            start, values = time.perf_counter(), {}
            yield values
            self.finish(stage, key, values, time.perf_counter() - start)

    def begin(self, stage: str, key: str, outputs: Sequence[str]) -> None:
        """Marks a stage as being made; what it had made under another fingerprint is removed first.

        Args:
            stage: its name.
            key: its fingerprint.
            outputs: the files and folders that it makes, relative to the run's folder.
        """
        mark = self._mark(stage)
        if mark["fingerprint"] != key:
            self._mark_file(stage).unlink(missing_ok=True)
            for output in {*mark["outputs"], *outputs}:
                _remove(self.folder / output)
            self._forget(stage)
            mark = {"starts": 0}
        begun = {"fingerprint": key, "done": False, "outputs": sorted(outputs)}
        write_json(self._mark_file(stage), begun | {"starts": mark["starts"] + 1})

    def finish(self, stage: str, key: str, metrics: dict, seconds: float) -> None:
        """Records what a stage measured, then marks it as done: in this order, since what is done is not run again.

        Args:
            stage: its name.
            key: its fingerprint.
            metrics: what it measured.
            seconds: of its last start; where there were several, their number is recorded as ``starts``.
        """
        mark = self._mark(stage)
        if mark["fingerprint"] != key:
            raise RuntimeError(f"stage {stage} is finished without having begun")
        starts = {"starts": mark["starts"]} if mark["starts"] > 1 else {}
        metrics = plain(metrics | {"seconds": seconds} | starts)
        self.record(stage, metrics)
        write_json(self._mark_file(stage), mark | {"done": True, "metrics": metrics})

    def reuse(self, other: Run, stage: str, key: str) -> bool:
        """Takes over a stage that another run has finished under the same fingerprint.

        Files are hard-linked where the disk allows it and copied where not. No file of a run is ever changed in place, so the
        two runs stay independent.

        Returns:
            Whether there was such a stage.
        """
        if not other.fresh(stage, key):
            return False
        mark = other._mark(stage)
        with full_disk_is_said(self.folder):
            self.begin(stage, key, mark["outputs"])
            for output in mark["outputs"]:
                _link(other.folder / output, self.folder / output)
            values = dict(mark["metrics"])
            self.finish(stage, key, values | {"reused_from": other.folder.name}, values["seconds"])
        return True

    def _mark_file(self, stage: str) -> Path:
        return self.folder / "stages" / f"{stage}.json"

    def _mark(self, stage: str) -> dict:
        nothing = {"fingerprint": None, "done": False, "outputs": [], "starts": 0, "metrics": {}}
        file = self._mark_file(stage)
        return nothing | read_json(file) if file.is_file() else nothing

    def _forget(self, stage: str) -> None:
        metrics = self.metrics()
        if metrics.pop(stage, None) is not None:
            write_json(self.folder / "metrics.json", metrics)

    def _has(self, outputs: Sequence[str]) -> bool:
        return all((self.folder / output).exists() for output in outputs)

    def _note_start(self, seed: int | None) -> None:
        file, now = self.folder / "provenance.json", provenance(seed)
        if file.is_file():
            first = self.provenance
            now = first | {"continued": [*first.get("continued", []), now]}
        write_json(file, now)

    def _remove_abandoned(self) -> None:
        """Removes what a killed process left half-written; a file of a living one is younger."""
        for file in self.folder.rglob(".*.part"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > ABANDONED_AFTER:
                    file.unlink()


def _difference(old: object, new: object, name: str = "") -> str:
    """Where two recipes differ first, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *new]:
            if key not in old or key not in new or old[key] != new[key]:
                below = f"{name}.{key}" if name else key
                return _difference(old.get(key), new.get(key), below)
    return f"{name} was {json.dumps(old)}, now {json.dumps(new)}"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for entry in source.iterdir():
            if not entry.name.endswith(".part"):
                _link(entry, target / entry.name)
        return
    with atomic(target) as aside:
        try:
            os.link(source, aside)
        except OSError:  # another disk, or one without links
            shutil.copy2(source, aside)
