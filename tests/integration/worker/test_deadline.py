"""A job's time ends its sets: what runs is ended, what waits is not started, what is done is recorded."""

import itertools

import pytest

from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.worker.local import LocalRunner, NamespaceRefused
from airflow_pachy.worker.outcome import ExitCode, WorkerOptions
from airflow_pachy.worker.plan import DatumPlan, SetPlan, TransformPlan, decode_plan, encode_plan
from airflow_pachy.worker.records import read_set_results
from airflow_pachy.worker.run import run_set

DEADLINE = 1_000_000.0


def plan(script, count, **details):
    datums = tuple(DatumPlan(f"{number:032x}", ()) for number in range(count))
    transform = TransformPlan(cmd=("sh", "-euc", script), **details)
    return SetPlan("job", "0", "p", "o" * 32, transform, "jobs/job/0", datums, deadline=DEADLINE)


def run(one, clock):
    store = MemoryStore()
    try:
        with LocalRunner(1, kill_grace_seconds=0.5) as runner:
            outcome = run_set(store, one, runner, WorkerOptions(clock=clock))
    except NamespaceRefused as error:
        pytest.skip(str(error))
    return outcome, list(read_set_results(store, one.results_prefix))


def test_nothing_is_started_after_the_deadline():
    outcome, results = run(plan("true", 3), lambda: DEADLINE)
    assert (outcome.exit_code, outcome.success, results) == (ExitCode.OUT_OF_TIME, 0, [])
    assert "job_timeout" in outcome.error
    assert "1970-01-12 13:46:40" in outcome.error


@pytest.mark.parametrize("batch", [0, 10])
def test_what_runs_at_the_deadline_is_ended(batch):
    looks = itertools.count()
    # The clock passes the deadline at the second look, while the command sleeps.
    outcome, results = run(plan("sleep 300", 3, batch=batch), lambda: DEADLINE - 1 + next(looks))
    assert (outcome.exit_code, outcome.failed, results) == (ExitCode.OUT_OF_TIME, 0, [])


def test_a_set_that_is_done_in_time_is_done():
    outcome, results = run(plan("true", 3), lambda: DEADLINE - 1)
    assert (outcome.exit_code, outcome.success, len(results)) == (ExitCode.DONE, 3, 3)


def test_a_plan_keeps_its_deadline_and_its_batch():
    one = plan("true", 1, batch=7)
    assert decode_plan(encode_plan(one)) == one
