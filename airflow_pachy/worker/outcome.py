"""Options of a set's run, and its outcome as counts and an exit code."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from airflow_pachy.pfs.objects.ulid import new_ulid

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_STAGE_BYTES = 10 << 30


class ExitCode(IntEnum):
    """What the helper, and after it the user's container, exits with."""

    DONE = 0
    """Every datum of the set is done and durable."""
    OUT_OF_TIME = 119
    """The job's time is up; what was finished is durable."""
    MISCONFIGURED = 120
    """The helper cannot work at all: credentials refused, a plan that is not there or of another release."""
    DATUMS_FAILED = 121
    """Some datums failed; all others are durable."""
    HELPER_DEAD = 122
    """The user's container saw no sign of life from the helper, or the helper none from it."""
    STAGING_FAILED = 123
    """Inputs could not be put on disk."""
    UPLOAD_FAILED = 124
    """Outputs or records could not be made durable."""
    STOPPED = 143
    """Ended by TERM; what was finished is durable."""


def new_attempt(try_number: int = 1) -> str:
    """A name for one attempt at a set: sorts by try number, then by time, and is never used twice."""
    return f"{try_number:04d}-{new_ulid()}"


def same_try(one: str, other: str) -> bool:
    """Whether two attempts were made by the same try of Airflow's task."""
    return one.partition("-")[0] == other.partition("-")[0]


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How to run a set.

    `attempt` names the records' folder. `stage_budget_bytes` bounds the inputs that lie on disk at
    once. Setting `stop` ends the run: commands get TERM, finished datums are recorded. `clock` tells the time of
    day, for the plan's deadline.
    """

    attempt: str = field(default_factory=new_attempt)
    stage_budget_bytes: int = DEFAULT_STAGE_BYTES
    stop: threading.Event = field(default_factory=threading.Event)
    flush_seconds: float = 30.0
    clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class SetOutcome:
    """How many datums of a set ended how (`skipped`: earlier attempts were done with them).

    `error` says what ended the run early, for codes other than 0 and 121. `cpu_seconds` is the processor time that we
    used around the user's code, staging, uploading, recording. A helper container, which is a process of its own, also
    tells how long it took from its start to the first datum, the most memory that it needed and its `requests` to the
    object store.
    """

    success: int
    failed: int
    recovered: int
    skipped: int
    exit_code: ExitCode
    error: str = ""
    cpu_seconds: float = field(default=0.0, compare=False)
    start_seconds: float = field(default=0.0, compare=False)
    peak_memory_bytes: int = field(default=0, compare=False)
    requests: int = field(default=0, compare=False)
