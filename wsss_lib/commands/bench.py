"""``wsss bench``: measures the speed of the slow parts."""

import json

from wsss_lib.commands.options import parsed
from wsss_lib.exits import is_main
from wsss_lib.pipeline.bench import Bench, measure


def bench(arguments: list[str]) -> None:
    """``wsss bench``."""
    rows = measure(parsed(Bench, arguments, "bench"))
    if is_main():
        print(json.dumps(rows, indent=1))
