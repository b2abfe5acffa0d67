"""The seam between the worker and whatever executes the user's command: a local process, or a container."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_pachy.errors import JobFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LOG_TAIL_BYTES = 16 << 10
"""How much of a failed try's output is kept in its record."""


class RunnerGone(JobFailed):
    """Whatever executes the user's commands has died; the message says what is known of it."""


@dataclass(frozen=True, slots=True)
class Command:
    """One execution of the user's code on the datum whose inputs lie under the slot's `pfs`; `label` is for logs."""

    datum: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    stdin: tuple[str, ...] = ()
    working_dir: str | None = None
    timeout_seconds: float | None = None
    label: str = ""

    @property
    def stdin_bytes(self) -> bytes | None:
        """What the command reads: its lines joined with newlines, the last one ended too; None for nothing at all."""
        return ("\n".join(self.stdin) + "\n").encode("utf-8", "surrogateescape") if self.stdin else None


@dataclass(frozen=True, slots=True)
class Exit:
    """How an execution ended. `code` follows the shell: 128 + n for signal n, 126 and 127 for what cannot start."""

    code: int
    seconds: float
    timed_out: bool = False
    stopped: bool = False
    log_tail: str = ""
    error: str = ""

    def reason(self, timeout_seconds: float | None) -> str:
        """Why this is a failure, in one sentence."""
        if self.timed_out:
            return f"the command ran longer than datum_timeout ({timeout_seconds:g} s) and was ended"
        if self.error:
            return f"the command could not be started ({self.error}): name a program and a working_dir that exist"
        if self.code == 127:
            return "the command was not found (exit code 127): name a program that is in the image"
        if self.code == 126:
            return "the command cannot be executed (exit code 126): is it an executable file?"
        if self.code == 128 + signal.SIGKILL:
            return "the command was killed (exit code 137): most often for want of memory"
        return f"the command failed with exit code {self.code}"


class Slot(Protocol):
    """A place where one datum at a time runs."""

    @property
    def pfs(self) -> Path:
        """The directory that the command sees as `pfs_path`; its entry `.pfs` is the slot's own."""
        ...

    @property
    def pfs_path(self) -> str:
        """Where the command sees it: `/pfs`, but for runs without a private mount namespace."""
        ...

    def run(self, command: Command) -> Exit:
        """Execute the command, its output in the log between two `pfs: datum` lines; leave none of its processes."""
        ...


class Runner(Protocol):
    """Executes commands in one or several slots."""

    @property
    def slots(self) -> Sequence[Slot]:
        """As many datums run at once."""
        ...

    @property
    def stage_root(self) -> Path:
        """A directory for staged datums, from where a rename reaches every slot's `pfs`."""
        ...

    def stop(self) -> None:
        """End the running commands, TERM first; their `run` returns with `stopped` set, and so do later ones."""
        ...
