"""Operating verbs against a whole Airflow: scheduler, triggerer, DAG processor, API server. One start for all."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from airflow_pachy.cli import main
from airflow_pachy.cli.airflow_rest import RestAirflow
from airflow_pachy.metadata.models import HeadMove
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import list_job_datums, list_jobs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.whole_airflow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        "PACHY_TEST_WHOLE_AIRFLOW" not in os.environ,
        reason="takes two minutes of both processors; `scripts/test --all` runs it, or PACHY_TEST_WHOLE_AIRFLOW=1",
    ),
]

ROOT = Path(__file__).parents[3]
SECRET = "between us"
PATIENCE_SECONDS = float(os.environ.get("PACHY_TEST_PATIENCE", "240"))
DAGS = """
from datetime import timedelta
from pathlib import Path

from airflow_pachy.dags import load_pipelines

here = Path(__file__).parent
globals().update(load_pipelines(here / "pipelines", stage={{"runner": "local"}}, git_poll=timedelta(days=30)))
"""
RUNS = """
from airflow.sdk import DAG

from airflow_pachy.operators import DatumMapOperator, PfsPutOperator

COPY = {"cmds": ["sh", "-c", "cp /pfs/in/* /pfs/out/"], "runner": "local"}

with DAG("again", schedule=None):
    put = PfsPutOperator(task_id="put", destination="again-source@master:/try", data="{{ ti.try_number }}")
    one = {"pfs": {"name": "in", "repo": "again-source", "glob": "/*"}}
    first = DatumMapOperator("first", input=one, output="first@master", **COPY)
    two = {"pfs": {"name": "in", "repo": "first", "glob": "/*"}}
    put >> first >> DatumMapOperator("second", input=two, output="second@master", **COPY)

with DAG("yearly", schedule="0 0 1 1 *", catchup=False):
    old = {"pfs": {"name": "in", "repo": "old", "glob": "/*"}}
    DatumMapOperator("years", input=old, output="years@master", **COPY)
"""
BAD = """
from pathlib import Path

from airflow_pachy.dags import load_pipelines

globals().update(load_pipelines(Path(__file__).parent / "twice"))
"""


def pipeline(name, script, **more):
    one = {"pfs": {"name": "in", "repo": name + "-source", "glob": "/*"}}
    transform = {"cmd": ["sh", "-ec", script]}
    return {"pipeline": {"name": name}, "input": one, "transform": transform, "datum_tries": 1, **more}


class Whole:
    """The running Airflow, its folders, and a Pfs on the same root."""

    def __init__(self, airflow, home, environment, pfs):
        self.airflow, self.home, self.environment, self.pfs = airflow, home, environment, pfs
        self.url = environment["AIRFLOW__API__BASE_URL"]

    def wait_for(self, what, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.airflow.check()
            # An API server that is busy has not answered yet, which says nothing.
            with suppress(TimeoutError, urllib.error.URLError):
                if found := condition():
                    return found
            time.sleep(0.2)
        end = "\n".join(self.airflow.log.read_text(errors="replace").splitlines()[-60:])
        raise AssertionError(f"{what} has not come to be:\n{end}")

    def newest(self, name):
        return next(list_jobs(self.pfs, pipeline=name, limit=1), None)

    def job_in(self, name, *states):
        def look():
            job = self.newest(name)
            return job if job is not None and job.state in states else None

        return self.wait_for(f"a job of {name} that is {' or '.join(states)}", look)

    def get(self, path):
        return self.airflow._get(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "scripts"))
    from airflow_process import Airflow, airflow_environment, free_port
    from dulwich import porcelain

    home = tmp_path_factory.mktemp("whole")
    dags = home / "dags"
    (dags / "pipelines").mkdir(parents=True)
    (dags / "twice").mkdir()
    origin = home / "project.git"
    porcelain.init(str(origin), symlinks=False).close()
    commit(origin, "first")
    specs = {
        "flaky": pipeline(
            "flaky", f"echo sees /pfs/in/*; [ ! -e /pfs/in/b ] || [ -e {home}/flag ]; cp /pfs/in/* /pfs/out/"
        ),
        "hangs": pipeline(
            "hangs", f"if mkdir {home}/once; then echo hangs; exec sleep 900; fi; cp /pfs/in/* /pfs/out/"
        ),
        "code": {
            "pipeline": {"name": "code"},
            "input": {"git": {"url": f"file://{origin}", "name": "project"}},
            "transform": {"cmd": ["sh", "-c", "cp /pfs/project/text /pfs/out/"]},
        },
        "ticks": {
            "pipeline": {"name": "ticks"},
            "input": {"cron": {"name": "time", "spec": "0 0 1 1 *"}},
            "transform": {"cmd": ["sh", "-c", "cp /pfs/time/* /pfs/out/"]},
        },
    }
    for name, spec in specs.items():
        (dags / "pipelines" / f"{name}.json").write_text(json.dumps(spec))
    for name in ("one", "other"):
        (dags / "twice" / f"{name}.json").write_text("\n" + json.dumps(pipeline("same", "true")))
    (dags / "pipes.py").write_text(DAGS.format())
    (dags / "runs.py").write_text(RUNS)
    (dags / "bad.py").write_text(BAD)
    environment = airflow_environment(home, dags, port=free_port()) | {
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__PACHY__WEBHOOK_SECRET": SECRET,
        # A machine that is busy with other tests must not fail tasks.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "PACHY_STORAGE": (home / "objects").as_uri(),
        "PACHY_METADATA": f"sqlite:///{home}/pachy.db",
        "PYTHONPATH": str(ROOT),
    }
    with (
        Airflow(environment, home / "airflow.log") as airflow,
        Pfs.open(storage=environment["PACHY_STORAGE"], metadata=environment["PACHY_METADATA"]) as pfs,
    ):
        for name in ("flaky-source", "hangs-source", "again-source", "old"):
            pfs.create_repo(name)
        made = Whole(airflow, home, environment, pfs)
        # A task that starts before the API server answers fails.
        made.wait_for("Airflow", airflow._healthy)
        with pfs.commit("flaky-source@master") as first:
            for name in "abc":
                first.put_file(f"/{name}", name)
        pfs.put_file("hangs-source@master:/x", b"x")
        yield made


def commit(origin, text):
    from dulwich import porcelain

    (origin / "text").write_text(text)
    porcelain.add(str(origin), [str(origin / "text")])
    porcelain.commit(str(origin), message=text.encode(), author=b"a <a@b>", committer=b"a <a@b>")


@pytest.fixture
def pachy(whole, monkeypatch, capsys):
    monkeypatch.setenv("PACHY_STORAGE", (whole.home / "objects").as_uri())
    monkeypatch.setenv("PACHY_METADATA", f"sqlite:///{whole.home}/pachy.db")
    monkeypatch.setenv("PACHY_AIRFLOW_URL", whole.url)

    def run(*arguments):
        capsys.readouterr()
        assert main(arguments) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def test_a_running_datum_is_processed_again(whole, pachy):
    job = whole.job_in("hangs", "running")
    whole.wait_for("the first try", (whole.home / "once").exists)
    assert "1 datum runs again in hangs.datums[0]" in pachy("restart", "datum", job.id, "/x")
    done = whole.job_in("hangs", "success")
    assert (done.id, whole.pfs.get_file("hangs@master:/x")) == (job.id, b"x")


def test_only_what_failed_runs_again_and_each_datum_has_its_lines(whole, pachy):
    job = whole.job_in("flaky", "failed")
    assert sorted(pachy("logs", "--job", job.id).splitlines()) == ["sees /pfs/in/a", "sees /pfs/in/b", "sees /pfs/in/c"]
    assert pachy("logs", "--pipeline", "flaky", "--inputs", "/b").splitlines() == ["sees /pfs/in/b"]
    assert "3 datums" in pachy("logs", "--pipeline", "flaky", "--master")
    records = {one.id: one.record for one in list_job_datums(whole.pfs, job.id)}
    (whole.home / "flag").touch()
    assert "1 datum runs again" in pachy("restart", "datum", job.id)
    done = whole.job_in("flaky", "success")
    assert (done.id, done.datums_processed, done.datums_failed) == (job.id, 3, 0)
    after = {one.id: one.record for one in list_job_datums(whole.pfs, job.id)}
    assert sum(records[datum] != after[datum] for datum in after) == 1
    assert done.code["bundle"] == "dags-folder"
    assert done.code["dag_version"]


def test_a_range_of_commits_is_a_job_for_each_in_order(whole, pachy):
    for text in "12":
        whole.pfs.put_file("flaky-source@master:/a", text)
        whole.wait_for(f"a job for {text}", lambda text=text: flaky_has(whole.pfs, text.encode()))
    commits = [info.id for info in whole.pfs.list_commits("flaky-source@master", reverse=True)]
    said = pachy(
        "run", "pipeline", "flaky", "--from", "flaky-source@master.1", "--to", "flaky-source@master.2", "--reprocess"
    )
    assert "Started 2 runs of DAG flaky" in said

    def last_three():
        jobs = [job for job in list_jobs(whole.pfs, pipeline="flaky") if not job.run_id.startswith("asset")]
        return jobs if len(jobs) == 3 and jobs[0].state == "success" else None

    jobs = whole.wait_for("the range", last_three)
    assert [job.inputs[0].commit for job in reversed(jobs)] == [*commits[:2], commits[-1]]
    assert [job.datums_processed for job in reversed(jobs)] == [3, 3, 0]
    assert whole.pfs.get_file("flaky@master:/a") == b"2"


def flaky_has(pfs, content):
    job = next(list_jobs(pfs, pipeline="flaky", limit=1))
    return job.state == "success" and pfs.get_file("flaky@master:/a") == content


def test_a_succeeded_run_that_is_cleared_runs_again_on_what_it_has_put(whole):
    api = RestAirflow(whole.url)
    run = api.trigger("again", "once", {})
    first = whole.job_in("second", "success")
    whole.wait_for("the end of the run", lambda: whole.get(f"/api/v2/dags/again/dagRuns/{run}")["state"] == "success")
    assert whole.pfs.get_file("second@master:/try") == b"1"
    steps = [f"{stage}.{step}" for stage in ("first", "second") for step in ("plan", "datums", "assemble")]
    assert api.clear("again", run, [("put", -1), *((step, -1) for step in steps)]) == 7

    def follows():
        job = whole.newest("second")
        return job if job.id != first.id and job.state == "success" else None

    second = whole.wait_for("a further job", follows)
    assert whole.pfs.get_file("second@master:/try") == b"2"
    assert (second.run_id, second.round, first.round) == (first.run_id, 2, 1)
    assert [job.id for job in list_jobs(whole.pfs, pipeline="second")] == [second.id, first.id]
    history = [one.id for one in whole.pfs.list_commits("second@master")]
    assert history == [second.output_commit, first.output_commit]

    # Without `plan` there is nothing to be done, and it does not look as if something had been.
    path = f"/api/v2/dags/again/dagRuns/{run}"
    whole.wait_for("the end of the run", lambda: whole.get(path)["state"] == "success")
    assert api.clear("again", run, [("second.datums", -1), ("second.assemble", -1)]) == 2

    def tries():
        found = whole.get(f"{path}/taskInstances")["task_instances"]
        return {one["task_id"]: (one["state"], one["try_number"]) for one in found if "second" in one["task_id"]}

    ended = {"second.plan": ("success", 2), "second.datums": ("skipped", 3), "second.assemble": ("success", 3)}
    whole.wait_for("the steps", lambda: tries() == ended)
    assert whole.newest("second").id == second.id


def test_dates_of_a_cron_input_are_backfilled_tick_by_tick(whole):
    whole.wait_for("the DAG", lambda: "ticks" in dag_ids(whole))
    backfill(whole, "ticks", "2022-12-31", "2024-01-02")

    whole.wait_for("the backfill", lambda: backfilled(whole, "ticks") == ["success"] * 2)
    # Which run takes which tick is the queue's to say: Airflow makes a run for the schedule's last date, too.
    made = [one.path for one in whole.pfs.list_file("ticks@master:/")]
    assert made == ["/2023-01-01T00:00:00Z", "/2024-01-01T00:00:00Z"]
    assert sum(job.datums_processed for job in list_jobs(whole.pfs, pipeline="ticks")) == 2


def test_dates_of_a_schedule_are_backfilled_with_the_data_that_was_there(whole):
    for year, text in ((2022, "before"), (2023, "after")):
        whole.pfs.put_file("old@master:/a", text)
        let_it_be_of(whole, whole.pfs.inspect_branch("old@master").head, datetime(year, 6, 1, tzinfo=UTC))
    whole.wait_for("the DAG", lambda: "yearly" in dag_ids(whole))
    backfill(whole, "yearly", "2021-12-31", "2024-01-02")

    whole.wait_for("the backfill", lambda: backfilled(whole, "yearly") == ["success"] * 3)
    jobs = {job.run_id: job for job in list_jobs(whole.pfs, pipeline="years") if job.run_id.startswith("backfill")}
    read = {
        run[len("backfill__") :][:4]: whole.pfs.get_file(f"years@{job.output_commit}:/a") for run, job in jobs.items()
    }
    assert read == {"2023": b"before", "2024": b"after"}, "2022 had no data yet, and was skipped"


def dag_ids(whole):
    return {dag["dag_id"] for dag in whole.get("/api/v2/dags")["dags"]}


def backfill(whole, dag, begin, end):
    words = ["airflow", "backfill", "create", "--dag-id", dag, "--from-date", begin, "--to-date", end]
    words += ["--max-active-runs", "1", "--reprocess-behavior", "failed"]
    environment = os.environ | whole.environment

    def made():
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode == 0:
            return True
        # SQLite has one writer; the command gives up half-way when the scheduler is it.
        assert "database is locked" in done.stdout + done.stderr, done.stdout[-3000:] + done.stderr[-3000:]
        for one in whole.get(f"/api/v2/backfills?dag_id={dag}")["backfills"]:
            if one["completed_at"] is None:
                RestAirflow(whole.url)._json("PUT", f"/api/v2/backfills/{one['id']}/cancel")
        return False

    whole.wait_for("a backfill", made)


def backfilled(whole, dag):
    runs = whole.get(f"/api/v2/dags/{dag}/dagRuns")["dag_runs"]
    return [run["state"] for run in runs if run["run_type"] == "backfill"]


def let_it_be_of(whole, commit, moment):
    with whole.pfs.metadata.session() as session:
        session.execute(update(HeadMove).where(HeadMove.commit == commit).values(moved=moment))


def test_a_push_starts_the_pipeline_that_reads_the_branch(whole):
    commit(whole.home / "project.git", "second")
    origin = f"file://{whole.home}/project.git"
    assert send(whole.url, {"url": origin, "branch": "master"}) == {
        "branch": "master",
        "revision": "",
        "woken": ["code"],
    }

    def woken():
        runs = whole.get("/api/v2/dags/code/dagRuns")["dag_runs"]
        return [run for run in runs if (run["run_type"], run["state"]) == ("asset_triggered", "success")]

    # The first tick of the schedule may have come before the push, or have fetched what was pushed.
    assert whole.wait_for("a run that the push has woken", woken)
    assert whole.pfs.get_file("code@master:/text") == b"second"
    assert send(whole.url, {"url": origin, "branch": "other"})["woken"] == []


def send(url, payload):
    body = json.dumps(payload).encode()
    signature = f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"
    request = urllib.request.Request(f"{url}/pachy-hooks/git", data=body, headers={"X-Hub-Signature-256": signature})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202
        return json.load(answer)


def test_what_is_wrong_with_a_folder_is_an_import_error_with_file_and_line(whole):
    (error,) = whole.wait_for("the import error", lambda: whole.get("/api/v2/importErrors")["import_errors"])
    assert error["filename"] == "bad.py"
    assert "other.json:2: pipeline 'same' is defined twice, also at " in error["stack_trace"]
    assert "flaky" in {dag["dag_id"] for dag in whole.get("/api/v2/dags")["dags"] if not dag["has_import_errors"]}
