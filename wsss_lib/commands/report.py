"""``wsss report FOLDER``: writes the report of a run again."""

from wsss_lib.data.layout import InputError
from wsss_lib.exits import is_main


def report(arguments: list[str]) -> None:
    """``wsss report FOLDER``."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise InputError("give the folder of one run: wsss report runs/toy")
    from wsss_lib.pipeline.report import write_report

    if is_main():
        print(f"report: {write_report(arguments[0])}")
