"""Reads what the words of a command line ask for."""

import difflib
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


def known(word: str, words: Sequence[str], kind: str) -> str:
    """Returns ``word``, or says which words there are.

    Raises:
        InputError: there is no such word.
    """
    if word in words:
        return word
    near = difflib.get_close_matches(word, words, n=1)
    guess = f"; did you mean {near[0]}?" if near else "."
    raise InputError(f"there is no {kind} {word!r}{guess} There are: {', '.join(words)}")
