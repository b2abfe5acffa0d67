"""Each datum that has run links to its lines in Airflow."""

from sqlalchemy import delete

from airflow_pachy.metadata.models import Job
from airflow_pachy.pipelines import inspect_job_datum, list_job_datums
from airflow_pachy.pipelines.log_links import airflow_url, task_path
from airflow_pachy.pipelines.tracing import trace_file


def test_a_datum_links_to_the_task_that_ran_it(bench, monkeypatch):
    monkeypatch.setenv("PACHY_AIRFLOW_URL", "https://airflow.example.com/team/")
    bench.put(a=b"a")
    job = bench.run("manual__2026-01-01T00:00:00+00:00").id
    (datum,) = list_job_datums(bench.pfs, job)
    assert datum.log == (
        "https://airflow.example.com/team/dags/dag/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
        "/tasks/stage.datums/mapped/0?try_number=1"
    )
    assert inspect_job_datum(bench.pfs, job, datum.id).log == datum.log
    assert trace_file(bench.pfs, "edges@master:/a").log == datum.log


def test_a_skipped_datum_links_to_the_run_that_did_it(bench, monkeypatch):
    monkeypatch.delenv("PACHY_AIRFLOW_URL", raising=False)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080")
    bench.put(a=b"a")
    bench.run("first")
    bench.put(b=b"b")
    job = bench.run("second").id
    runs = {one.inputs[0][1]: one.log.split("/runs/")[1].split("/")[0] for one in list_job_datums(bench.pfs, job)}
    assert runs == {"/a": "first", "/b": "second"}


def test_a_datum_that_has_not_run_has_no_log(bench):
    bench.put(a=b"a")
    (datum,) = list_job_datums(bench.pfs, bench.plan().job_id)
    assert datum.log is None


def test_a_datum_of_a_job_that_is_gone_has_no_log(bench):
    bench.put(a=b"a")
    first = bench.run("first").id
    bench.put(b=b"b")
    job = bench.run("second").id
    with bench.pfs.metadata.session() as session:
        session.execute(delete(Job).where(Job.id == first))
    assert sorted(one.log is None for one in list_job_datums(bench.pfs, job)) == [False, True]


def test_the_address_of_airflow(tmp_path):
    assert airflow_url({"AIRFLOW_HOME": str(tmp_path)}) == ""
    (tmp_path / "airflow.cfg").write_text("[api]\nbase_url = https://cfg.example.com/\n[core]\nx = 100%\n")
    home = {"AIRFLOW_HOME": str(tmp_path)}
    assert airflow_url(home) == "https://cfg.example.com"
    assert airflow_url({**home, "AIRFLOW__API__BASE_URL": "http://env"}) == "http://env"
    assert airflow_url({**home, "PACHY_AIRFLOW_URL": "http://own/"}) == "http://own"
    (tmp_path / "airflow.cfg").write_text("not a configuration")
    assert airflow_url(home) == ""


def test_names_are_quoted():
    assert task_path("a/b", "r?1", "t") == "/dags/a%2Fb/runs/r%3F1/tasks/t"
