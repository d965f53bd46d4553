"""Runs every benchmark of this folder: `make bench`. Prints JSON; fails where a ratio is below its bar."""

import importlib
import json
import platform
import sys
from pathlib import Path

import torch


def main() -> None:
    """Runs them one after the other, so that none disturbs another."""
    results = {"machine": platform.platform(), "threads": torch.get_num_threads()}
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        print(f"{file.stem} ...", file=sys.stderr)
        results[file.stem] = importlib.import_module(f"tests.benchmarks.{file.stem}").benchmark()
    print(json.dumps(results, indent=1))
    measured = {name: value for name, value in results.items() if isinstance(value, dict)}
    slow = [name for name, value in measured.items() if value["ratio"] < (value["bar"] or 0)]
    if slow:
        sys.exit(f"below the bar: {', '.join(slow)}")


if __name__ == "__main__":
    main()
