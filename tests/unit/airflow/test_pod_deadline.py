"""A set whose job has run out of time gets no pod, and none instead of a lost one: no retry would help."""

import json
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from kubernetes.client.exceptions import ApiException

from airflow_pachy.hooks.airflow_errors import AirflowException, AirflowFailException
from airflow_pachy.hooks.pfs import PfsHook
from airflow_pachy.operators.datum_set import DatumSetOperator
from airflow_pachy.operators.datum_set_pod import DatumSetPodOperator
from airflow_pachy.worker.plan import DatumPlan, DatumResult, ResultWriter, SetPlan, TransformPlan, write_plan

KEY = "jobs/0123456789abcdef/plan/0001-000000.json"
RESULTS = "jobs/0123456789abcdef/0001-000000"
CONTEXT = {"ti": SimpleNamespace(try_number=1, start_date=None)}
GONE = {
    "name": "pod",
    "namespace": "data",
    "status": "timeout",
    "message": "the task's execution_timeout (job_timeout) is over",
    "state": {"lost": 5, "attempt": "0001-a", "patient_pulls": False, "api_errors": 0},
}


class Api:
    """An API server without pods; whoever wants to make one breaks the test."""

    def read_namespaced_pod(self, _name, _namespace):
        raise ApiException(status=404)


@pytest.fixture
def hook(monkeypatch, tmp_path):
    extra = {
        "storage": tmp_path.as_uri(),
        "metadata": f"sqlite:///{tmp_path}/pachy.db",
        "namespace": "data",
        "helper_image": "helper:1",
    }
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", json.dumps({"conn_type": "pachy", "extra": extra}))
    monkeypatch.setenv("AIRFLOW__PACHY__POD_SHAPE", "classic")
    return PfsHook()


@pytest.fixture
def operator(hook, monkeypatch):
    monkeypatch.setattr(DatumSetPodOperator, "client", Api())
    task = DatumSetOperator(task_id="datums", plan_key=KEY, image="user:1", execution_timeout=timedelta(seconds=9))
    return DatumSetPodOperator.of_task(task, hook)


def write(hook, seconds_left):
    datums = (DatumPlan("a" * 32, ()), DatumPlan("b" * 32, ()))
    deadline = time.time() + seconds_left
    plan = SetPlan("0123456789abcdef", "0", "p", "c", TransformPlan(cmd=("true",)), RESULTS, datums, deadline)
    with hook.get_conn() as pfs:
        write_plan(pfs.store, KEY, plan)


def record(hook, *ids):
    with hook.get_conn() as pfs, ResultWriter(pfs.store, f"{RESULTS}/0001-a") as records:
        for one in ids:
            records.add(DatumResult(one * 32, "success"))


def test_a_set_that_begins_after_the_jobs_time_gets_no_pod(operator, hook):
    write(hook, -1)
    record(hook, "a")
    with pytest.raises(
        AirflowFailException, match=r"1 done, 1 not finished: the job's time \(job_timeout\) was up at 2"
    ):
        operator.run(CONTEXT)


def test_what_is_done_is_done_whatever_the_time(operator, hook):
    write(hook, -1)
    record(hook, "a", "b")
    operator.run(CONTEXT)


def test_a_pod_that_was_late_is_neither_replaced_nor_tried_again(operator, hook):
    write(hook, -1)
    with pytest.raises(AirflowFailException, match=r"\(job_timeout\) was up at .*; pod pod: .*execution_timeout"):
        operator.resume(CONTEXT, GONE)


def test_an_execution_timeout_of_its_own_may_be_tried_again(operator, hook):
    write(hook, 3600)
    with pytest.raises(AirflowException, match=r"2 not finished: pod pod: .*execution_timeout") as raised:
        operator.resume(CONTEXT, GONE)
    assert not isinstance(raised.value, AirflowFailException)
