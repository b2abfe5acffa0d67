"""Many datums in one process: for code whose start costs more than its work.

The command runs once for a batch and finds each datum in a directory of its own:

    /pfs/batch/<datum id>/<input>/...    what an ordinary datum has at /pfs/<input>
    /pfs/batch/<datum id>/out/           what an ordinary datum has at /pfs/out
    /pfs/batch/<datum id>/error          written by the code: this datum failed, and why
    /pfs/batch/<datum id>/done           written by the code: this datum is finished (needed by nobody)

Exit code 0 means that all datums without an `error` succeeded. After any other end, those that are `done` succeeded
and all others are tried again one by one, as batches of one, so that a datum that takes the process down
fails alone. Between `done` files lies the time that a datum took; without them all datums share it evenly.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_pachy.worker.beneath import open_beneath
from airflow_pachy.worker.collect import BadOutput, collect
from airflow_pachy.worker.datums import Progress, SetAborted, aborting, microseconds, uploaded
from airflow_pachy.worker.disk import remove_tree
from airflow_pachy.worker.mounting import moved
from airflow_pachy.worker.outcome import ExitCode
from airflow_pachy.worker.runner import LOG_TAIL_BYTES, Command, RunnerGone
from airflow_pachy.worker.staging import StagedDatum, UnfitDatum

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from airflow_pachy.worker.datums import Bench
    from airflow_pachy.worker.plan import DatumPlan
    from airflow_pachy.worker.records import DatumResult
    from airflow_pachy.worker.runner import Exit, Slot

BATCH = "batch"
"""The directory under /pfs that holds the datums of a batch."""
MOST_BYTES = 256 << 20
"""A batch is cut when its inputs are larger than this: the next one is staged while it runs."""


def cut_batches(bench: Bench, datums: Iterable[DatumPlan], most: int) -> Iterator[list[DatumPlan]]:
    """Neighbours together, at most `most` datums and `MOST_BYTES` at a time; whatever has no size comes alone."""
    batch: list[DatumPlan] = []
    volume = 0
    for datum in datums:
        try:
            size = bench.stager.size_bytes(datum)
        except UnfitDatum:
            size = MOST_BYTES  # its turn will say so
        if batch and (len(batch) >= most or volume + size > MOST_BYTES):
            yield batch
            batch, volume = [], 0
        batch.append(datum)
        volume += size
    if batch:
        yield batch


def process_batch(bench: Bench, datums: Sequence[DatumPlan], number: int) -> list[DatumResult]:
    """Take datums from their plans to their results; fewer results than datums when the set was stopped meanwhile.

    As safe to call from several threads as `process_datum`. Raises `SetAborted`.
    """
    work = _Batch(bench, bench.stage_root / str(number))
    try:
        return work.run(datums)
    except RunnerGone as error:
        # Whichever it was: the next attempt runs them one by one, after all others.
        lost = [one.failed(str(error)) for one in work.running]
        raise SetAborted(str(error), ExitCode.DATUMS_FAILED, [*work.results, *lost]) from error
    except SetAborted as error:
        error.results = [*work.results, *error.results]
        raise


@dataclass(slots=True)
class _Told:
    """What the code left beside a datum."""

    error: str | None
    done_ns: int | None


class _Batch:
    def __init__(self, bench: Bench, root: Path) -> None:
        self._bench = bench
        self._root = root
        self.results: list[DatumResult] = []
        self.running: list[Progress] = []

    def run(self, datums: Sequence[DatumPlan]) -> list[DatumResult]:
        again = self._once([(datum, Progress(datum.id)) for datum in datums], alone=len(datums) == 1)
        for datum, progress in again:
            self._alone(datum, progress)
        return self.results

    def _alone(self, datum: DatumPlan, progress: Progress) -> None:
        """The tries that a datum has left, and `err_cmd` after the last."""
        transform = self._bench.plan.transform
        while progress.tries < max(1, transform.datum_tries):
            if not self._once([(datum, progress)], alone=True):
                return
            if self._bench.stop.is_set():
                return
        if transform.err_cmd and not self._once([(datum, progress)], alone=True, is_rescue=True):
            return
        self.results.append(progress.result("failed"))

    def _once(
        self, work: list[tuple[DatumPlan, Progress]], *, alone: bool, is_rescue: bool = False
    ) -> list[tuple[DatumPlan, Progress]]:
        """Run the command once on these datums; returns those that need another try. None are left when stopped."""
        sized = self._sized(work)
        with self._bench.budget.take(sum(size for _datum, _progress, size in sized)):
            try:
                return self._within_budget(sized, alone=alone, is_rescue=is_rescue)
            finally:
                remove_tree(self._root)

    def _sized(self, work: list[tuple[DatumPlan, Progress]]) -> list[tuple[DatumPlan, Progress, int]]:
        sized = []
        for datum, progress in work:
            try:
                with aborting(ExitCode.STAGING_FAILED, f"datum {datum.id} cannot be staged"):
                    sized.append((datum, progress, self._bench.stager.size_bytes(datum)))
            except UnfitDatum as error:
                self.results.append(progress.failed(str(error)))
        return sized

    def _within_budget(
        self, sized: list[tuple[DatumPlan, Progress, int]], *, alone: bool, is_rescue: bool
    ) -> list[tuple[DatumPlan, Progress]]:
        if not sized or self._bench.stop.is_set():
            return []
        staged = self._stage(sized)
        slot = self._bench.slots.get()
        try:
            self.running = [progress for _staged, progress in staged]
            end = self._execute(staged, slot, is_rescue=is_rescue)
        finally:
            self._bench.slots.put(slot)
        self.running = []
        if end.stopped:
            return []
        told = [self._told(one.datum.id) for one, _progress in staged]
        self._share_time(staged, told, end)
        again = []
        for (one, progress), found in zip(staged, told, strict=True):
            if self._is_good(found, end):
                self.results.append(progress.result("recovered") if is_rescue else self._collect(one, progress, slot))
            else:
                self._note_failure(progress, found, end, alone=alone, is_rescue=is_rescue)
                again.append((one.datum, progress))
        return again

    def _stage(self, sized: list[tuple[DatumPlan, Progress, int]]) -> list[tuple[StagedDatum, Progress]]:
        folder = self._root / BATCH
        with aborting(ExitCode.STAGING_FAILED, "a batch of datums cannot be staged"):
            staged = self._bench.stager.stage_all([(datum, folder / datum.id, size) for datum, _, size in sized])
            for directory in (self._root, folder, *(one.root for one in staged)):
                directory.chmod(0o777)  # the user's code may run as any uid, and writes here
        for one, (_datum, progress, _size) in zip(staged, sized, strict=True):
            progress.download_us += microseconds(one.seconds)
            progress.download_bytes += one.bytes
        return [(one, progress) for one, (_datum, progress, _size) in zip(staged, sized, strict=True)]

    def _execute(self, staged: list[tuple[StagedDatum, Progress]], slot: Slot, *, is_rescue: bool) -> Exit:
        plan = self._bench.plan
        limit = plan.transform.datum_timeout_seconds
        ids = [one.datum.id for one, _progress in staged]
        command = Command(
            datum=ids[0] if len(ids) == 1 else f"batch-{ids[0]}",
            argv=plan.transform.err_cmd if is_rescue else plan.transform.cmd,
            env=self._environment(staged, slot.pfs_path),
            stdin=plan.transform.err_stdin if is_rescue else plan.transform.stdin,
            working_dir=plan.transform.working_dir,
            timeout_seconds=limit and limit * len(ids),
            label=f"{len(ids)} datums" if len(ids) > 1 else staged[0][0].datum.label,
        )
        with aborting(ExitCode.STAGING_FAILED, f"a batch of datums cannot be put under {slot.pfs_path}"):
            with moved(self._root, [BATCH], slot.pfs):
                return slot.run(command)

    def _environment(self, staged: list[tuple[StagedDatum, Progress]], pfs_path: str) -> dict[str, str]:
        plan = self._bench.plan
        env = dict(plan.transform.env)
        for one, _progress in staged:
            env.update({f"{item.name}_COMMIT": item.commit for item in one.datum.inputs})
        env["PACH_JOB_ID"] = plan.job
        env["PACH_OUTPUT_COMMIT_ID"] = plan.output_commit
        env["PPS_PIPELINE_NAME"] = plan.pipeline
        env["PACH_BATCH"] = f"{pfs_path}/{BATCH}"
        env["PFS_ROOT"] = pfs_path
        return env

    def _told(self, datum: str) -> _Told:
        root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            error = _read(root, (BATCH, datum, "error"))
            done = _stat(root, (BATCH, datum, "done"))
        finally:
            os.close(root)
        return _Told(error, done.st_mtime_ns if done is not None else None)

    def _is_good(self, found: _Told, end: Exit) -> bool:
        if found.error is not None:
            return False
        accepted = (0, *self._bench.plan.transform.accept_return_codes)
        return found.done_ns is not None or (not end.timed_out and end.code in accepted)

    def _note_failure(self, progress: Progress, found: _Told, end: Exit, *, alone: bool, is_rescue: bool) -> None:
        if is_rescue:
            progress.reason += f"; err_cmd ended with exit code {end.code}"
            return
        progress.exit_code = end.code
        if found.error is not None:
            progress.reason = f"the command said: {found.error.strip() or 'error'}"
        else:
            progress.reason = end.reason(self._bench.plan.transform.datum_timeout_seconds)
        progress.log_tail = end.log_tail
        # In company it is not known whose fault it was, unless the code has said so.
        progress.tries += 1 if alone or found.error is not None else 0

    def _share_time(self, staged: list[tuple[StagedDatum, Progress]], told: list[_Told], end: Exit) -> None:
        total = microseconds(end.seconds)
        marks = [found.done_ns for found in told]
        if None in marks:
            for _one, progress in staged:
                progress.process_us += total // len(staged)
            return
        before = time.time_ns() - round(end.seconds * 1e9)
        for mark, progress in sorted(
            ((mark or 0, progress) for mark, (_one, progress) in zip(marks, staged, strict=True)),
            key=lambda item: item[0],
        ):
            progress.process_us += max(0, min(total, (mark - before) // 1_000))
            before = max(before, mark)

    def _collect(self, one: StagedDatum, progress: Progress, slot: Slot) -> DatumResult:
        progress.tries += 1
        progress.exit_code = 0
        started = time.monotonic()
        with aborting(ExitCode.UPLOAD_FAILED, f"the output of datum {one.datum.id} cannot be uploaded"):
            # The code may have put links to anywhere in place of the directories.
            if not all(stat.S_ISDIR(place.lstat().st_mode) for place in (one.root.parent, one.root)):
                return progress.failed(f"/pfs/{BATCH}/{one.datum.id} is not the directory that it was")
            try:
                output = collect(one, self._bench.trees, self._bench.writer, f"{slot.pfs_path}/{BATCH}/{one.datum.id}")
            except BadOutput as error:
                return progress.failed(str(error))
        return uploaded(progress, output, started)


def _read(root: int, parts: tuple[str, ...]) -> str | None:
    try:
        fd = open_beneath(root, parts, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return os.read(fd, LOG_TAIL_BYTES).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _stat(root: int, parts: tuple[str, ...]) -> os.stat_result | None:
    try:
        fd = open_beneath(root, parts, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)
