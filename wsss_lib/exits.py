"""How a command ends that cannot go on: with one sentence, and no traceback for what is not the fault of the code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from wsss_lib.data.layout import InputError

LEFT_ALONE = "Connection closed by peer"  # gloo, where another process of a run has gone
SIGPIPE, SIGINT = 128 + 13, 128 + 2  # what a shell says of a process that these have ended


@contextlib.contextmanager
def in_one_sentence(program: str = "wsss") -> Iterator[None]:
    """Says why a command cannot go on, and exits with 2: input that cannot be used, or an error of the system.

    Args:
        program: stands before the sentence.
    """
    say_all_signs()
    try:
        try:
            with reasons_said(program):
                yield
        finally:
            if sys.stdout is not None:  # as when a notebook wants to hear nothing
                sys.stdout.flush()  # here a closed pipe can be answered, and not when Python ends
    except BrokenPipeError:
        leave_quietly()


def say_all_signs() -> None:
    """A console that does not know a sign, say of a class name in another script, is shown its number."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def reasons_said(program: str) -> Iterator[None]:
    """Turns errors that are not the fault of the code into a sentence and an exit code."""
    try:
        yield
    except InputError as error:
        fail(program, error, str(error))
    except KeyboardInterrupt as stop:
        fail(program, stop, "stopped; the same command goes on from here", code=SIGINT)
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        fail(program, error, f"{place}{error.strerror or error}")
    except RuntimeError as error:
        if LEFT_ALONE not in str(error):
            raise
        fail(program, error, "another process of this run has ended; give the same command again")


def fail(program: str, error: BaseException, sentence: str, code: int = 2) -> None:
    """Exits, and says what is wrong: once, where several processes find it."""
    bars = getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", ())
    for bar in list(bars):  # a sentence begins a line of its own
        bar.close()
    if is_main() or getattr(error, "own_share", False):
        one_line = sentence.replace("\n", "\\n").replace("\r", "\\r")  # as in the name of a file
        print(f"{program}: {one_line}", file=sys.stderr)
    sys.exit(code)


def is_main() -> bool:
    """`wsss_lib.pipeline.ranks.is_main`, before processes have joined, and without PyTorch."""
    return os.environ.get("RANK", "0") == "0"


def leave_quietly() -> None:
    """Ends as any tool behind whose output a pipe was closed; what is still to be said goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        os.dup2(nowhere, stream.fileno())
    sys.exit(SIGPIPE)
