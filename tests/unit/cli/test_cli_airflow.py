"""What commands ask of Airflow: its REST API is played by a server of the standard library."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from airflow_pachy.cli.airflow_rest import RestAirflow
from airflow_pachy.errors import JobFailed
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, list_job_datums, plan_job
from airflow_pachy.pipelines.log_places import datum_lines
from airflow_pachy.worker.local import LocalRunner
from airflow_pachy.worker.outcome import WorkerOptions, new_attempt
from airflow_pachy.worker.plan import read_plan
from airflow_pachy.worker.run import run_set

CODE = """
echo "looking at $(ls "$PFS_ROOT/images")"
if grep -q bad "$PFS_ROOT"/images/*; then echo "that is bad"; exit 3; fi
echo fine
"""
SPEC = {
    "pipeline": {"name": "counts"},
    "transform": {"cmd": ["sh"], "stdin": CODE.splitlines()},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "datum_tries": 1,
    "datum_set_spec": {"number": 2},
}
RUN = "asset_triggered__2024-05-01T00:00:00+00:00_x"


class FakeAirflow:
    """One DAG run; `logs` by (task, map index, try), and what was asked."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.runs: set[str] = set()
        self.running: list[str] = []
        self.status = 200

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/auth/token":
            return 201, {"access_token": "t"}
        if self.status != 200:
            return self.status, {"detail": "not today"}
        parts = path.split("/")
        if method == "PATCH":
            self.posted.append((path, body))
            return 200, {"task_instances": []}
        if path.endswith("/clearTaskInstances"):
            self.posted.append((path, body))
            return 200, {"task_instances": [], "total_entries": len(body["task_ids"])}
        if method == "POST" and path.endswith("/dagRuns"):
            self.posted.append((path, body))
            run_id = body.get("dag_run_id") or "manual__1"
            if run_id in self.runs:
                return 409, {"detail": "there is one"}
            self.runs.add(run_id)
            return 200, {"dag_run_id": run_id}
        if unquote(parts[6]) != RUN:
            return 404, {"detail": "no such run"}
        if path.endswith("/taskInstances"):
            last: dict[int, int] = {}
            for task, index, number in self.logs:
                if task == query["task_id"]:
                    last[index] = max(number, last.get(index, 0))
            state = "success"
            found = [
                {"task_id": query["task_id"], "map_index": i, "try_number": n, "state": state} for i, n in last.items()
            ]
            if found and query["task_id"] in self.running:
                found[0]["state"] = "deferred"
            return 200, {"task_instances": found if query["offset"] == "0" else []}
        content = self.logs.get((parts[8], int(query["map_index"]), int(parts[10])), [])
        return 200, {"content": content, "continuation_token": None}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch):
    fake = FakeAirflow()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            status, document = fake.answer(self.command, parts.path, query, body)
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = respond  # noqa: N815 - the names that the server looks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("PACHY_AIRFLOW_URL", f"http://127.0.0.1:{server.server_port}/")
    for name in ("PACHY_AIRFLOW_TOKEN", "PACHY_AIRFLOW_USER"):
        monkeypatch.delenv(name, raising=False)
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


def events(*texts: str) -> list[dict[str, Any]]:
    return [{"event": text, "timestamp": f"2024-05-01T00:00:{n:02d}Z", "level": "info"} for n, text in enumerate(texts)]


@pytest.fixture
def job(pachy, airflow: FakeAirflow) -> str:
    """A job of three datums in two sets, of which /b is bad; its logs are in Airflow."""
    with Pfs.open() as pfs:
        pfs.create_repo("images")
        with pfs.commit("images@master") as commit:
            for name, text in {"a": "x", "b": "bad", "c": "y"}.items():
                commit.put_file(f"/{name}", text)
        plan = plan_job(pfs, JobRequest(PipelineSpec.from_dict(SPEC), "counting", RUN, "count"))
        for number, key in enumerate(plan.sets):
            lines: list[str] = ["before the datums"]
            with LocalRunner(pfs_root_env=True, log=lines.append) as runner:
                run_set(pfs.store, read_plan(pfs.store, key), runner, WorkerOptions(attempt=new_attempt(1)))
            airflow.logs["count.datums", number, 1] = [{"event": None, "sources": ["x"]}, *events(*lines)]
        airflow.logs["count.plan", -1, 1] = events("Job planned")
        airflow.logs["count.assemble", -1, 1] = events("2 of 3 done")
        with pytest.raises(JobFailed):
            assemble_job(pfs, plan.job_id)
        return plan.job_id


def datum(path: str, job_id: str) -> str:
    with Pfs.open() as pfs:
        return next(one.id for one in list_job_datums(pfs, job_id) if one.inputs[0][1] == path)


def test_the_logs_of_a_job_are_what_its_code_printed(pachy, job):
    everything = pachy("logs", "--job", job).lines
    assert sorted(everything) == sorted(["looking at a", "fine", "looking at b", "that is bad", "looking at c", "fine"])
    assert pachy("logs", "--pipeline", "counts", "--tail", "2").lines == everything[-2:]
    assert pachy("logs", "--pipeline", "counts", "--master").lines == ["Job planned", "2 of 3 done"]
    assert pachy("logs", "--job", job, "--follow").lines == everything


def test_the_logs_of_one_datum_by_id_or_by_what_it_read(pachy, job):
    bad = datum("/b", job)
    assert pachy("logs", "--job", job, "--datum", bad[:8]).lines == ["looking at b", "that is bad"]
    assert pachy("logs", "--job", job, "--inputs", "/b,/nope").lines == ["looking at b", "that is bad"]
    (first, _second) = pachy("logs", "--job", job, "--inputs", "b", "--raw").documents
    assert first["message"] == "looking at b"
    assert (first["jobId"], first["datumId"], first["level"]) == (job, bad, "info")
    assert first["ts"].startswith("2024-05-01T00:00:0")
    assert first["task"].startswith("count.datums[")


def test_lines_since_a_time(pachy, job):
    assert pachy("logs", "--job", job, "--since", "2024-05-02T00:00:00Z").lines == []
    assert len(pachy("logs", "--job", job, "--since", "2024-05-01").lines) == 6
    assert pachy("logs", "--job", job, "--since", "10m").lines == []
    assert "neither a duration" in pachy("logs", "--job", job, "--since", "soon", fails=True).err


def test_without_airflow_the_stored_end_of_a_datums_log_is_shown(pachy, job, monkeypatch):
    monkeypatch.setenv("PACHY_AIRFLOW_URL", "http://127.0.0.1:9")
    ran = pachy("logs", "--job", job, "--inputs", "/b")
    assert ran.lines == ["looking at b", "that is bad"]
    assert "only the stored ends" in ran.err
    assert "PACHY_AIRFLOW_URL" in pachy("logs", "--job", job, fails=True).err


def test_when_airflow_has_forgotten_the_run_the_stored_end_is_shown(pachy, job, airflow):
    airflow.logs.clear()
    ran = pachy("logs", "--job", job, "--inputs", "/b")
    assert ran.lines == ["looking at b", "that is bad"]
    assert "has no log" in ran.err
    nothing = pachy("logs", "--job", job)
    assert nothing.lines == []
    assert "nothing is printed there" in nothing.err


def test_logs_that_make_no_sense(pachy, job):
    assert pachy("logs", fails=True).code == 2
    assert pachy("logs", "--job", job, "--master", "--datum", "aa", fails=True).code == 2
    assert "no datum" in pachy("logs", "--job", job, "--inputs", "/nope", fails=True).err
    assert "there is no pipeline" in pachy("logs", "--pipeline", "nope", fails=True).err


def test_failed_datums_run_again_by_clearing_their_set_and_the_assembly(pachy, job, airflow):
    with Pfs.open() as pfs:
        places = {one.inputs[0][1]: one.record for one in list_job_datums(pfs, job)}
    number = int(str(places["/b"]).split("/")[2].split("-")[1])
    ran = pachy("restart", "datum", job)
    assert ran.out.startswith(f"1 datum runs again in count.datums[{number}] of run {RUN}")
    ((path, body),) = airflow.posted
    assert path == "/api/v2/dags/counting/clearTaskInstances"
    assert (body["dag_run_id"], body["dry_run"]) == (RUN, False)
    assert body["task_ids"] == [["count.datums", number], "count.assemble"]
    named = pachy("restart", "datum", job, "/b", "--json").documents[0]
    assert named["datums"] == [datum("/b", job)]


def test_a_stopped_job_is_planned_again(pachy, job, airflow):
    with Pfs.open() as pfs:
        plan = plan_job(pfs, JobRequest(PipelineSpec.from_dict(SPEC), "counting", RUN, "count"))
        assert plan.job_id == job
    airflow.running = ["count.datums", "count.plan"]
    assert "ended 1 running task" in pachy("stop", "job", job).out
    assert airflow.posted == [
        (f"/api/v2/dags/counting/dagRuns/{quote(RUN, safe='')}/taskInstances/count.datums/0", {"new_state": "failed"})
    ]
    pachy("restart", "datum", job)
    assert airflow.posted[-1][1]["task_ids"] == ["count.plan", "count.datums", "count.assemble"]


def test_what_cannot_be_restarted_says_why(pachy, job, airflow, monkeypatch):
    assert "has succeeded" in pachy("restart", "datum", job, "/a", fails=True).err
    assert "reads /nope" in pachy("restart", "datum", job, "/nope", fails=True).err
    airflow.status = 403
    refused = pachy("restart", "datum", job, fails=True).err
    assert "403 not today" in refused
    assert "airflow dags clear counting --run-id" in refused
    assert "count.assemble" in refused
    monkeypatch.setenv("PACHY_AIRFLOW_URL", "ftp://x")
    assert "must begin with http" in pachy("restart", "datum", job, fails=True).err


def test_lines_of_several_slots_are_told_apart():
    one, two = "1" * 32, "2" * 32
    log = [
        f"[{one[:12]}] pfs: datum {one} start (in:/a)",
        f"[{two[:12]}] pfs: datum {two} start",
        f"[{two[:12]}] from two",
        f"[{one[:12]}] [brackets] of one",
        f"[{one[:12]}] pfs: datum {one} end 0",
        f"[{one[:12]}] late",
        f"[{two[:12]}] pfs: datum {two} end 1",
        "::group::Post Execute",
        "not of a datum",
    ]
    assert [(line.datum, line.text) for line in datum_lines(log)] == [(two, "from two"), (one, "[brackets] of one")]
    assert [line.label for line in datum_lines(log, {one})] == ["in:/a"]


def test_a_group_that_was_never_closed_ends_with_the_next():
    one, two = "1" * 32, "2" * 32
    log = [
        f"::group::pfs: datum {one} start",
        "of one",
        f"::group::pfs: datum {two} start",
        "of two",
        "::endgroup::",
        "x",
    ]
    assert [(line.datum, line.text) for line in datum_lines(log)] == [(one, "of one"), (two, "of two")]


def test_the_token_goes_to_no_server_that_airflow_points_to(monkeypatch):
    got = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            got.append(self.headers.get("Authorization"))
            if len(got) == 1:
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{self.server.server_port}/other")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"task_instances": []}')

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setenv("PACHY_AIRFLOW_TOKEN", "secret")
        assert RestAirflow(f"http://127.0.0.1:{server.server_port}").tries("d", "r", "t") == []
    finally:
        server.shutdown()
        server.server_close()
    assert got == ["Bearer secret", None]
