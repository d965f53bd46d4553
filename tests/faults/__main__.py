"""A trial of faults, whole: ``make faults``, or ``python -m tests.faults --attempts 5000 --kills 30 --kills-of-two 10``.

Prints how many were tried, and what became of them; whatever must not happen is printed in full, and the exit code is 1.
"""

import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import tyro
from tqdm import tqdm

from tests.faults.kills import Undisturbed
from tests.faults.settings import wrong_settings
from tests.faults.trial import TARGETS, make_world, one
from wsss_lib.recipes import toy

GOOD = ("used", "refused", "mended")


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How many."""

    attempts: int = 5000
    """Damaged files."""
    settings: int = 250
    """Wrong settings on the command line."""
    kills: int = 30
    """Kills of the one process of a run."""
    kills_of_two: int = 10
    """Kills of one of its two."""
    processes: int = 2
    """That try at the same time."""
    seed: int = 0
    """Another seed is another trial."""


def main(asked: Faults) -> int:
    """Tries, and prints a table."""
    table: dict[str, Counter] = defaultdict(Counter)
    faults = []
    with tempfile.TemporaryDirectory() as place:
        for kind, (outcome, words) in trials(asked, Path(place)):
            table[kind][outcome] += 1
            if outcome not in GOOD:
                faults.append(f"{kind}, {outcome}: {words}")
                tqdm.write(faults[-1])
    outcomes = [*GOOD, *sorted({each for row in table.values() for each in row} - set(GOOD))]
    print(f"{'':26}" + "".join(f"{each:>11}" for each in ("tried", *outcomes)))
    for kind, row in [*table.items(), ("together", sum(table.values(), Counter()))]:
        numbers = [row.total(), *(row[each] for each in outcomes)]
        print(f"{kind:26}" + "".join(f"{each:11}" for each in numbers))
    return 1 if faults else 0


def trials(asked: Faults, place: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """The kind of each fault, and what became of it."""
    counts = {name: each.share * asked.attempts // 1000 for name, each in TARGETS.items()}
    jobs = [(name, f"{asked.seed}-{i}") for name, count in counts.items() for i in range(count)]
    world = make_world(place / "world")
    with ProcessPoolExecutor(asked.processes, get_context("spawn")) as pool:
        done = pool.map(partial(one, world, place), jobs, chunksize=4)
        for (name, _), result in zip(jobs, tqdm(done, "damaged files", total=len(jobs))):
            yield name, result
    for words, result in tqdm(
        wrong_settings(asked.settings, asked.seed, place), "settings", total=asked.settings
    ):
        yield "wrong settings", (result, words)
    for processes, count in ((1, asked.kills), (2, asked.kills_of_two)):
        stages = list(toy().stages)
        if count:
            run = Undisturbed(place / f"by {processes}", processes)
            for i in tqdm(range(count), f"kills of one of {processes}"):
                yield (
                    f"kill of one of {processes}",
                    run.trial(stages[i % len(stages)], i + asked.seed),
                )


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Faults, description=__doc__)))
