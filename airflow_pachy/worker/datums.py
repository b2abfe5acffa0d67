"""The life of one datum: stage, run with retries, collect."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_pachy.errors import JobFailed, PachyError
from airflow_pachy.worker.collect import BadOutput, Output, collect
from airflow_pachy.worker.disk import OUT, remove_tree
from airflow_pachy.worker.environment import datum_environment
from airflow_pachy.worker.lazy import serve_pipes
from airflow_pachy.worker.mounting import moved
from airflow_pachy.worker.outcome import ExitCode
from airflow_pachy.worker.records import DatumResult, DatumState
from airflow_pachy.worker.runner import Command, Exit, RunnerGone, Slot
from airflow_pachy.worker.staging import InputTrees, StagedDatum, Stager, UnfitDatum

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from queue import SimpleQueue

    from airflow_pachy.pfs.content import ContentReader, ContentWriter
    from airflow_pachy.worker.plan import DatumPlan, SetPlan


class SetAborted(PachyError):
    """The whole set cannot go on. `exit_code` says in which part it broke, `results` what datums at hand came to."""

    def __init__(self, message: str, exit_code: ExitCode, results: Sequence[DatumResult] = ()) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.results = results


class ByteBudget:
    """Bytes that may lie on disk at once; one taker is always let in, or nothing would ever move."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._used_bytes = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, size_bytes: int) -> Iterator[None]:
        """Wait until there is room, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used_bytes or self._used_bytes + size_bytes <= self._total_bytes)
            self._used_bytes += size_bytes
        try:
            yield
        finally:
            with self._changed:
                self._used_bytes -= size_bytes
                self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Bench:
    """What all datums of a set share."""

    plan: SetPlan
    trees: InputTrees
    stager: Stager
    reader: ContentReader
    writer: ContentWriter
    budget: ByteBudget
    slots: SimpleQueue[Slot]
    stage_root: Path
    stop: threading.Event


@dataclass(slots=True)
class Progress:
    """What is known of a datum while it is being worked on."""

    datum: str
    started_us: int = field(default_factory=lambda: time.time_ns() // 1_000)
    tries: int = 0
    exit_code: int | None = None
    reason: str = ""
    log_tail: str = ""
    download_us: int = 0
    download_bytes: int = 0
    process_us: int = 0

    def note(self, end: Exit) -> None:
        """Take note of an execution."""
        self.exit_code = end.code
        self.process_us += microseconds(end.seconds)

    def result(self, state: DatumState) -> DatumResult:
        """What has become of the datum."""
        kept = asdict(self) if state != "success" else {**asdict(self), "reason": "", "log_tail": ""}
        return DatumResult(state=state, **kept)

    def failed(self, reason: str) -> DatumResult:
        """It failed, for this reason."""
        self.reason = reason
        return self.result("failed")


def process_datum(bench: Bench, datum: DatumPlan, number: int) -> DatumResult | None:
    """Take a datum from its plan to its result; None when the set was stopped before the datum had one.

    Safe to call from as many threads as there are slots and a few more: those without a slot stage
    the next datums and collect the previous ones. Raises `SetAborted`.
    """
    progress = Progress(datum.id)
    root = bench.stage_root / str(number)
    try:
        with aborting(ExitCode.STAGING_FAILED, f"datum {datum.id} cannot be staged"):
            size = bench.stager.size_bytes(datum)
        with bench.budget.take(size):
            try:
                return _process_within_budget(bench, datum, root, size, progress)
            finally:
                remove_tree(root)
    except (UnfitDatum, BadOutput) as error:
        return progress.failed(str(error))
    except RunnerGone as error:
        raise SetAborted(str(error), ExitCode.DATUMS_FAILED, [progress.failed(str(error))]) from error


def _process_within_budget(
    bench: Bench, datum: DatumPlan, root: Path, size: int, progress: Progress
) -> DatumResult | None:
    if bench.stop.is_set():
        return None
    staged = _stage(bench, datum, root, size, progress)
    slot = bench.slots.get()
    try:
        staged, state = _run_tries(bench, staged, slot, progress)
    finally:
        bench.slots.put(slot)
    if state is None:
        return None
    if state != "success":
        return progress.result(state)
    started = time.monotonic()
    with aborting(ExitCode.UPLOAD_FAILED, f"the output of datum {datum.id} cannot be uploaded"):
        output = collect(staged, bench.trees, bench.writer, slot.pfs_path)
    return uploaded(progress, output, started)


def uploaded(progress: Progress, output: Output, started: float) -> DatumResult:
    """The result of a datum whose output was collected since `started` (of the monotonic clock)."""
    return replace(
        progress.result("success"),
        upload_us=microseconds(time.monotonic() - started),
        upload_bytes=output.uploaded_bytes,
        outputs=output.entries,
    )


def _stage(bench: Bench, datum: DatumPlan, root: Path, size: int, progress: Progress) -> StagedDatum:
    with aborting(ExitCode.STAGING_FAILED, f"datum {datum.id} cannot be staged"):
        staged = bench.stager.stage(datum, root, size)
    progress.download_us += microseconds(staged.seconds)
    progress.download_bytes += staged.bytes
    return staged


def _run_tries(
    bench: Bench, staged: StagedDatum, slot: Slot, progress: Progress
) -> tuple[StagedDatum, DatumState | None]:
    """Run the command until it succeeds or the tries are used up, then `err_cmd`; a state of None means stopped."""
    transform = bench.plan.transform
    for progress.tries in range(1, max(1, transform.datum_tries) + 1):
        if progress.tries > 1:
            staged = _renew(bench, staged, progress)
        end = _execute(bench, staged, slot, transform.cmd, transform.stdin)
        if end.stopped:
            return staged, None
        progress.note(end)
        if not end.timed_out and end.code in (0, *transform.accept_return_codes):
            return staged, "success"
        progress.reason, progress.log_tail = end.reason(transform.datum_timeout_seconds), end.log_tail
    if transform.err_cmd:
        end = _execute(bench, staged, slot, transform.err_cmd, transform.err_stdin)
        if end.stopped:
            return staged, None
        progress.process_us += microseconds(end.seconds)
        if end.code == 0 and not end.timed_out:
            return staged, "recovered"
        progress.reason += f"; err_cmd ended with exit code {end.code}"
    return staged, "failed"


def _renew(bench: Bench, staged: StagedDatum, progress: Progress) -> StagedDatum:
    """The datum as a first try would find it; it is fetched again only if the last try may have changed what it was."""
    if staged.pristine():
        staged.clear_output()
        return staged
    remove_tree(staged.root)
    return _stage(bench, staged.datum, staged.root, staged.bytes, progress)


def _execute(bench: Bench, staged: StagedDatum, slot: Slot, argv: tuple[str, ...], stdin: tuple[str, ...]) -> Exit:
    command = Command(
        datum=staged.datum.id,
        argv=argv,
        env=datum_environment(bench.plan, staged.datum, slot.pfs_path),
        stdin=stdin,
        working_dir=bench.plan.transform.working_dir,
        timeout_seconds=bench.plan.transform.datum_timeout_seconds,
        label=staged.datum.label,
    )
    with aborting(ExitCode.STAGING_FAILED, f"datum {staged.datum.id} cannot be put under {slot.pfs_path}"):
        with (
            moved(staged.root, (*staged.names, OUT), slot.pfs),
            serve_pipes(staged, bench.trees, bench.reader, slot.pfs),
        ):
            return slot.run(command)


@contextmanager
def aborting(exit_code: ExitCode, what: str) -> Iterator[None]:
    """Turn trouble with the store or the disk into the end of the set; a datum's own faults pass."""
    try:
        yield
    except (SetAborted, JobFailed):
        raise
    except (PachyError, OSError) as error:
        raise SetAborted(f"{what}: {error}", exit_code) from error


def microseconds(seconds: float) -> int:
    """Seconds as records have them."""
    return round(seconds * 1e6)
