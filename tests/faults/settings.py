"""Settings that cannot be, made from the recipes themselves: every number, range and word of every stage."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.faults.watching import answer
from wsss_lib import cli
from wsss_lib.recipes import RECIPES

# What no setting of a kind may be; where one may, it is in `ALLOWED`.
WRONG = {
    int: ("-1", "0", "2.5", "nan", "x", "1e3", ""),
    float: ("-1", "nan", "inf", "x", "1e999", ""),
    str: ("x",),
    bool: ("x", "2", ""),
}
ALLOWED = {
    "-1": ("step-size", "condition-stage"),
    "0": tuple("workers checkpoint-every frozen-stages shift seed draw-seed iterations condition-stage draw-photos".split()),
    "x": ("root", "train", "maps", "val", "weights"),
}  # fmt: skip


def settings_of(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """The options of a dataclass of settings, and their values; 3 is 3.0 where a setting is any number."""
    for each in dataclasses.fields(value):
        inner, below = getattr(value, each.name), f"{name}.{each.name}" if name else each.name
        if dataclasses.is_dataclass(inner):
            yield from settings_of(inner, below)
        else:
            number = type(inner) is int and "float" in str(each.type)
            yield below.replace("_", "-"), float(inner) if number else inner


def wrong(option: str, value: object) -> Iterator[list[str]]:
    """Command lines in which an option has a value that it cannot have."""
    last = option.rpartition(".")[2]
    each = value[0] if isinstance(value, tuple) and value else value
    for word in WRONG.get(type(each), ()):
        if last not in ALLOWED.get(word, ()):
            words = [word] * len(value) if isinstance(value, tuple) else [word]
            yield [f"--{option}", *words]


def all_wrong() -> list[tuple[str, list[str]]]:
    """A recipe, and options that it cannot have."""
    found = []
    for name, make in RECIPES.items():
        options = settings_of(make()) if name != "toy" else ()  # the quick one has the same
        found += [(name, line) for option, value in options for line in wrong(option, value)]
    return found


def wrong_settings(count: int, seed: int, place: Path) -> Iterator[tuple[str, str]]:
    """Gives ``count`` of them to the command line; for each the words, and ``refused`` or what was wrong with the answer."""
    lines = all_wrong()
    Random(seed).shuffle(lines)
    for recipe, line in itertools.islice(itertools.cycle(lines), count):
        yield f"{recipe} {' '.join(line)}", refusal(recipe, line, place / "settings")


def refusal(recipe: str, line: list[str], place: Path) -> str:
    """How the command line answers; nothing may have been made."""
    place.mkdir(exist_ok=True)
    command = ["run", recipe, "--runs", str(place / "runs"), *line, "--quiet"]
    if "--data.root" not in line:
        command += ["--data.root", str(place / "data")]
    found = answer(lambda: cli.main(command), place)
    made = [path.name for path in place.rglob("*")]
    if found.code is None or found.deeds:
        return f"{found.said} {found.deeds}"
    name = line[0].rpartition(".")[2].lstrip("-")
    meant = name in found.said or name.replace("-", "_") in found.said
    if found.code != 2 or made or not meant:
        return f"accepted: exit code {found.code}, made {made[:3]}, said {found.said}"
    return "refused"
