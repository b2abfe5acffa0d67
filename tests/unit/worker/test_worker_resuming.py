"""A second pod of a set goes on where the first was lost; a cleared task runs again what failed."""

import pytest

from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.worker.plan import DatumPlan, SetPlan, TransformPlan
from airflow_pachy.worker.records import DatumResult, ResultWriter
from airflow_pachy.worker.resuming import read_earlier

DATUMS = tuple(DatumPlan(name, ()) for name in "abcde")
PLAN = SetPlan("j", "0", "p", "o", TransformPlan(cmd=("true",), datum_tries=3), "jobs/j/0", DATUMS)


@pytest.fixture
def store():
    return MemoryStore()


def record(store, attempt, *results):
    with ResultWriter(store, f"{PLAN.results_prefix}/{attempt}") as writer:
        for result in results:
            writer.add(result)


def left(store, attempt):
    return [datum.id for datum in read_earlier(store, PLAN, attempt).todo(PLAN.datums)]


def test_without_records_everything_is_left(store):
    assert left(store, "0001-A") == list("abcde")


def test_a_new_pod_of_the_same_try_takes_suspects_last_and_leaves_out_what_is_spent(store):
    record(
        store,
        "0001-A",
        DatumResult("a", "failed", tries=1, exit_code=137),
        DatumResult("b", "success"),
        DatumResult("c", "failed", tries=3),
        DatumResult("d", "recovered", tries=3),
    )
    assert left(store, "0001-B") == ["e", "a"]
    found = read_earlier(store, PLAN, "0001-B")
    assert (found.done, found.failed) == ({"b", "d"}, {"c"})


def test_tries_go_on_counting_from_pod_to_pod(store):
    for pod in "ABC":
        record(store, f"0001-{pod}", DatumResult("a", "failed", tries=1, exit_code=137))
    assert left(store, "0001-D") == list("bcde")


def test_a_cleared_task_runs_again_what_did_not_succeed(store):
    record(
        store,
        "0001-A",
        DatumResult("a", "failed", tries=3),
        DatumResult("b", "success"),
        DatumResult("c", "recovered", tries=3),
    )
    assert left(store, "0002-A") == list("acde")
