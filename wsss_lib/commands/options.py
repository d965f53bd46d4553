"""Reads what the words of a command line ask for."""

from collections.abc import Sequence

import tyro

from wsss_lib.data.layout import InputError
from wsss_lib.exits import is_main


def parsed(kind: type, arguments: Sequence[str], words: str, **more) -> object:
    """What options ask for; one process says what is wrong with them."""
    options = {"args": arguments, "config": (tyro.conf.FlagCreatePairsOff,), **more}
    try:
        return tyro.cli(kind, prog=f"wsss {words}", console_outputs=is_main(), **options)
    except ValueError as error:  # what the outermost class checks; tyro itself says all others
        raise InputError(str(error)) from error
