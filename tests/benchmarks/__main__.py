"""Runs every benchmark of this folder: `make bench`. Writes book/results/bench.json; fails where a ratio is below its bar."""

import importlib
import json
import sys
from pathlib import Path

from wsss_lib.data.files import write_json
from wsss_lib.pipeline.provenance import provenance

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "book" / "results" / "bench.json"


def main() -> None:
    """Runs them one after the other, so that none disturbs another."""
    measured = {}
    for file in sorted(HERE.glob("[a-z]*.py")):
        print(f"{file.stem} ...", file=sys.stderr)
        measured[file.stem] = importlib.import_module(f"tests.benchmarks.{file.stem}").benchmark()
    write_json(RESULTS, {**provenance(), "command": "make bench", **measured})
    print(json.dumps(measured, indent=1))
    slow = [name for name, value in measured.items() if value["ratio"] < (value["bar"] or 0)]
    if slow:
        sys.exit(f"below the bar: {', '.join(slow)}")


if __name__ == "__main__":
    main()
