"""Runs a command of the package in this process, and watches what it does to the rest of the machine."""

import contextlib
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 60  # seconds; after that a command hangs
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {f"os.{deed}" for deed in "rename remove rmdir mkdir link symlink truncate".split()}
RUNS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"}


BAR = re.compile(r"\d+%\||\d+ files \[")


def harmless(event: str, arguments: tuple) -> bool:
    """Whether it is what the package itself starts: git and uname, for the provenance, and processes of its own for the CRF."""
    if event == "socket.connect":
        return isinstance(arguments[1], str)  # a socket of this machine
    return event == "subprocess.Popen" and arguments[0] in ("git", "uname", sys.executable)


@dataclass
class Watch:
    """What a command may write to, and what it did that it may not."""

    inside: Path | None = None
    deeds: list[str] = field(default_factory=list)

    def hear(self, event: str, arguments: tuple) -> None:
        """Notes an event of the interpreter."""
        if self.inside is None:
            return
        if event in RUNS and not harmless(event, arguments):
            self.deeds.append(f"code: {event} {arguments[:2]}")
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            self.changes(arguments[0])
        elif event in CHANGES:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                self.changes(path)

    def changes(self, path: object) -> None:
        """Notes a change of a file outside."""
        if isinstance(path, str | bytes | os.PathLike):
            place = Path(os.path.realpath(os.fsdecode(path)))
            if self.inside not in (place, *place.parents) and Path("/dev") not in place.parents:
                self.deeds.append(f"outside: {place}")


WATCH = Watch()
sys.addaudithook(WATCH.hear)


class Hangs(BaseException):
    """A command that does not end."""


@dataclass
class Answer:
    """How a command ended: its exit code, or the traceback; what it said, and what it did that it may not."""

    code: int | None
    said: str
    deeds: list[str]

    @property
    def fault(self) -> str:
        """What must never happen; empty if it did not."""
        if self.deeds:
            return self.deeds[0]
        if self.code is None:
            return self.said
        lines = [line for line in re.split(r"[\r\n]", self.said) if line.strip()]
        lines = [line for line in lines if not BAR.search(line)]
        if self.code not in (0, 2):
            return f"exit code {self.code}: {self.said[-500:]}"
        if self.code == 2 and len(lines) != 1:
            return f"{len(lines)} lines instead of one sentence: {self.said[-1500:]}"
        return ""


def answer(command: Callable[[], None], inside: Path) -> Answer:
    """Runs a command that may write below ``inside``."""
    said, code = io.StringIO(), 0
    WATCH.inside, WATCH.deeds = inside.resolve(), []
    try:
        with (
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(io.StringIO()),
            patience(),
        ):
            command()
    except SystemExit as end:
        code = end.code
    except Hangs:
        return Answer(None, f"hang: more than {PATIENCE} s", [])
    except BaseException:
        return Answer(None, f"traceback: {traceback.format_exc()}", WATCH.deeds)
    finally:
        WATCH.inside = None
    return Answer(code or 0, said.getvalue(), WATCH.deeds)


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Raises Hangs where a block takes too long."""

    def ring(*_: object) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
