"""Operating verbs against a whole Airflow: scheduler, triggerer, DAG processor, API server. One start for all."""

import hashlib
import hmac
import json
import os
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from airflow_pachy.cli import main
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

    def __init__(self, airflow, home, url, pfs):
        self.airflow, self.home, self.url, self.pfs = airflow, home, url, pfs

    def wait_for(self, what, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.airflow.check()
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
    }
    for name, spec in specs.items():
        (dags / "pipelines" / f"{name}.json").write_text(json.dumps(spec))
    for name in ("one", "other"):
        (dags / "twice" / f"{name}.json").write_text("\n" + json.dumps(pipeline("same", "true")))
    (dags / "pipes.py").write_text(DAGS.format())
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
        for name in ("flaky", "hangs"):
            pfs.create_repo(f"{name}-source")
        made = Whole(airflow, home, environment["AIRFLOW__API__BASE_URL"], pfs)
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
