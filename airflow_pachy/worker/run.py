"""Running a datum set: the worker's main loop.

Every datum goes through one straight function (`datums.process_datum`) on a thread of a pool with
two threads more than there are slots to run in. While one datum holds the slot, the others stage the
next datums and collect the previous ones, which is all the pipelining there is. This thread only
feeds the pool and writes the records.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING

from airflow_pachy.errors import PachyError, Unavailable
from airflow_pachy.pfs.content import ContentReader, ContentWriter
from airflow_pachy.worker.batches import cut_batches, process_batch
from airflow_pachy.worker.datums import Bench, ByteBudget, SetAborted, process_datum
from airflow_pachy.worker.outcome import ExitCode, SetOutcome, WorkerOptions
from airflow_pachy.worker.previous import PreviousOutputs
from airflow_pachy.worker.records import ResultWriter
from airflow_pachy.worker.resuming import read_earlier
from airflow_pachy.worker.staging import InputTrees, Stager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.worker.plan import DatumPlan, SetPlan
    from airflow_pachy.worker.records import DatumResult
    from airflow_pachy.worker.resuming import Earlier
    from airflow_pachy.worker.runner import Runner, Slot

TICK_SECONDS = 0.5
"""How often the main loop looks at the stop event and the age of unrecorded results."""


def run_set(store: ObjectStore, plan: SetPlan, runner: Runner, options: WorkerOptions | None = None) -> SetOutcome:
    """Process the plan's datums and make their records durable under `<results_prefix>/<attempt>/`.

    Datums that earlier attempts are done with are skipped (see `read_earlier`). A datum that fails does not stop the
    others. Returns how it went, also when the set could not be finished (`SetOutcome.exit_code`, `.error`);
    an exception raised in the calling thread meanwhile ends the commands and passes on.
    Raises `RunnerGone` for a runner that was closed before.
    """
    started = time.process_time()
    stage_root = runner.stage_root
    options = options or WorkerOptions()
    try:
        earlier = read_earlier(store, plan, options.attempt)
    except PachyError as error:
        code = ExitCode.STAGING_FAILED if isinstance(error, Unavailable) else ExitCode.MISCONFIGURED
        return SetOutcome(0, 0, 0, 0, code, f"earlier records cannot be read: {error}")
    todo = earlier.todo(plan.datums)
    outcome = _SetRun(store, plan, runner, stage_root, options).run(todo, earlier)
    return replace(outcome, cpu_seconds=round(time.process_time() - started, 3))


class _SetRun:
    def __init__(
        self, store: ObjectStore, plan: SetPlan, runner: Runner, stage_root: Path, options: WorkerOptions
    ) -> None:
        self._runner = runner
        self._options = options
        self._content = ContentWriter(store)
        self._records = ResultWriter(
            store,
            f"{plan.results_prefix.strip('/')}/{options.attempt}",
            before_flush=self._content.flush,
            max_seconds=options.flush_seconds,
        )
        slots: SimpleQueue[Slot] = SimpleQueue()
        for slot in runner.slots:
            slots.put(slot)
        trees, reader = InputTrees(store), ContentReader(store)
        self._bench = Bench(
            plan=plan,
            trees=trees,
            stager=Stager(trees, reader, options.stage_budget_bytes, PreviousOutputs(store)),
            reader=reader,
            writer=self._content,
            budget=ByteBudget(options.stage_budget_bytes),
            slots=slots,
            stage_root=stage_root,
            stop=threading.Event(),
        )
        self._states: Counter[str] = Counter()
        self._broken: SetAborted | None = None

    def run(self, todo: list[DatumPlan], earlier: Earlier) -> SetOutcome:
        try:
            self._process_all(todo, earlier)
            self._guard(self._records.flush)
        finally:
            self._content.close()
        states = self._states
        exit_code, error = self._verdict(len(todo), states["failed"] + len(earlier.failed))
        skipped = len(earlier.done) + len(earlier.failed)
        return SetOutcome(states["success"], states["failed"], states["recovered"], skipped, exit_code, error)

    def _verdict(self, wanted: int, failed: int) -> tuple[ExitCode, str]:
        if self._broken is not None:
            return self._broken.exit_code, str(self._broken)
        if self._options.stop.is_set():
            return ExitCode.STOPPED, "stopped before all datums were done; what was finished is recorded"
        if (missing := wanted - self._states.total()) > 0:
            return ExitCode.STOPPED, (
                f"{missing} of {wanted} datums were not run: the runner was stopped or closed, "
                "here or by whoever used it before; run the set with a new one"
            )
        return (ExitCode.DATUMS_FAILED if failed else ExitCode.DONE), ""

    def _process_all(self, todo: list[DatumPlan], earlier: Earlier) -> None:
        """Keep the pool fed until everything is done, or the end was called."""
        waiting = enumerate(self._units(todo, earlier))
        threads = len(self._runner.slots) + 2
        running: set[Future[list[DatumResult]]] = set()
        with ThreadPoolExecutor(threads, "datum") as pool:
            try:
                while True:
                    if self._options.stop.is_set():
                        self._end()
                    elif self._states.total() < len(todo):
                        self._keep_deadline()
                    if not self._bench.stop.is_set():
                        for number, unit in islice(waiting, threads - len(running)):
                            running.add(pool.submit(self._process, unit, number))
                    if not running:
                        return
                    finished, running = wait(running, TICK_SECONDS, FIRST_COMPLETED)
                    for future in finished:
                        self._record(future)
                    self._guard(self._records.flush_if_due)
            except BaseException:
                self._end()
                raise

    def _keep_deadline(self) -> None:
        late = self._bench.plan.time_is_up(self._options.clock())
        if late and not self._bench.stop.is_set():
            self._break(SetAborted(late, ExitCode.OUT_OF_TIME))

    def _units(self, todo: list[DatumPlan], earlier: Earlier) -> Iterator[list[DatumPlan]]:
        """What is processed at once. A datum that may have taken its pod down before has no company."""
        most = self._bench.plan.transform.batch
        if most:
            fresh = [datum for datum in todo if datum.id not in earlier.suspects]
            yield from cut_batches(self._bench, fresh, most)
            todo = todo[len(fresh) :]
        yield from ([datum] for datum in todo)

    def _process(self, unit: list[DatumPlan], number: int) -> list[DatumResult]:
        if self._bench.plan.transform.batch:
            return process_batch(self._bench, unit, number)
        result = process_datum(self._bench, unit[0], number)
        return [] if result is None else [result]

    def _record(self, future: Future[list[DatumResult]]) -> None:
        results: Sequence[DatumResult]
        try:
            results = future.result()
        except SetAborted as error:
            self._break(error)
            results = error.results
        for result in results:
            self._states[result.state] += 1
            self._guard(partial(self._records.add, result))

    def _guard(self, write: Callable[[], None]) -> None:
        try:
            write()
        except (PachyError, OSError) as error:
            self._break(SetAborted(f"results cannot be recorded: {error}", ExitCode.UPLOAD_FAILED))

    def _break(self, error: SetAborted) -> None:
        """Remember what ended the run; the first trouble is the cause, what follows are its effects."""
        self._broken = self._broken or error
        self._end()

    def _end(self) -> None:
        if not self._bench.stop.is_set():
            self._bench.stop.set()
            self._runner.stop()
