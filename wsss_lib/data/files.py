"""Files and folders that are either whole or not there: atomic writes, and JSON."""

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from wsss_lib.data.layout import InputError

ABANDONED_AFTER = 3600  # seconds; nobody takes as long to write one file


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to; it takes the name ``path`` when the block ends well, and is gone when it does not."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        if path.is_dir():
            raise IsADirectoryError(
                errno.EISDIR, "is a folder, where a file is to be written", str(path)
            )
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Gives a folder to write into; it takes the name ``path`` when the block ends well, and is gone when it does not.

    Args:
        path: of a folder that is not there, or is empty.

    Raises:
        FileExistsError: something else has taken that name meanwhile.
        InputError: it is the folder that the program works in, which would be another one afterwards.
    """
    path = Path(path).resolve()
    if path == Path.cwd().resolve():
        raise InputError(f"{path} is the folder that you are in; name one inside it.")
    remove_abandoned(path.parent.glob(f".{path.name}.*.part"))
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    aside.mkdir(parents=True)
    try:
        yield aside
        try:
            os.rename(aside, path)  # over an empty folder as well
        except OSError as error:
            if not path.exists():
                raise
            raise FileExistsError(error.errno, "is there already", str(path)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_abandoned(asides: Iterable[Path]) -> None:
    """Removes what a killed process left half-written; what a living one writes is younger."""
    for aside in asides:
        with contextlib.suppress(FileNotFoundError):
            inside = aside.rglob("*") if aside.is_dir() else ()
            youngest = max(each.stat().st_mtime for each in (aside, *inside))
            if time.time() - youngest > ABANDONED_AFTER:
                remove(aside)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: str | Path, value: object) -> None:
    """Writes ``value`` as indented JSON, atomically."""
    with atomic(path) as aside:
        aside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> object:
    """Reads a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    if os.path.lexists(path) and not os.path.isfile(path):
        raise InputError(f"{path} is not a file: delete it and run again")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}): delete it and run again") from None
