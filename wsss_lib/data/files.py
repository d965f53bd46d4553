"""Files that are either whole or not there: atomic writes, and JSON."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from wsss_lib.data.layout import InputError


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to; it takes the name ``path`` when the block ends well, and is gone when it does not."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: str | Path, value: object) -> None:
    """Writes ``value`` as indented JSON, atomically."""
    with atomic(path) as aside:
        aside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> object:
    """Reads a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): delete it and run again") from None
