"""Jobs and datums, on jobs that really ran, as local processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_pachy.errors import JobFailed
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, plan_job
from airflow_pachy.worker.local import LocalRunner
from airflow_pachy.worker.outcome import WorkerOptions
from airflow_pachy.worker.plan import read_plan
from airflow_pachy.worker.run import run_set

# Fails for files that hold "bad"; otherwise writes the file's size.
CODE = """
cd "$PFS_ROOT/images"
for file in *; do
  if grep -q bad "$file"; then echo "cannot read $file" >&2; exit 3; fi
  wc -c < "$file" > "$PFS_ROOT/out/$file.count"
done
"""
SPEC = {
    "pipeline": {"name": "counts"},
    "transform": {"cmd": ["sh"], "stdin": CODE.splitlines()},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "datum_tries": 1,
}


def run_job(pfs: Pfs, run_id: str) -> str:
    """What a DAG run does; returns the job's id."""
    plan = plan_job(pfs, JobRequest(PipelineSpec.from_dict(SPEC), "counting", run_id, "count"))
    for key in plan.sets:
        with LocalRunner(pfs_root_env=True) as runner:
            run_set(pfs.store, read_plan(pfs.store, key), runner, WorkerOptions(attempt="1"))
    assemble_job(pfs, plan.job_id)
    return plan.job_id


def put(pfs: Pfs, **files: str) -> None:
    with pfs.commit("images@master") as commit:
        for name, text in files.items():
            commit.put_file(f"/{name}", text)


@pytest.fixture
def jobs(pachy) -> list[str]:
    """A job of two datums, then one of three that skips these two."""
    with Pfs.open() as pfs:
        pfs.create_repo("images")
        put(pfs, a="x", b="yy")
        first = run_job(pfs, "run1")
        put(pfs, c="zzz")
        return [first, run_job(pfs, "run2")]


def test_progress_is_processed_and_skipped_of_all(pachy, jobs: list[str]) -> None:
    shown = pachy("list", "job")
    assert shown.lines[0].split()[:2] == ["ID", "PIPELINE"]
    assert [(row[0], row[1], row[5], row[-1]) for row in shown.rows] == [
        (jobs[1], "counts", "1 + 2 / 3", "success"),
        (jobs[0], "counts", "2 + 0 / 2", "success"),
    ]


def test_jobs_are_filtered_and_paged(pachy, jobs: list[str]) -> None:
    assert [d["id"] for d in pachy("list", "job", "--json", "--limit", "1").documents] == jobs[1:]
    assert [d["id"] for d in pachy("list", "job", "--json", "--after", jobs[1]).documents] == jobs[:1]
    assert pachy("list", "job", "--state", "failed").rows == []
    assert pachy("list", "job", "-p", "nope").rows == []


def test_a_job_is_named_by_its_id_or_by_what_it_made(pachy, jobs: list[str]) -> None:
    by_id = pachy("inspect", "job", jobs[1])
    assert by_id.out == pachy("inspect", "job", "counts@master").out
    assert "3 (1 processed, 2 skipped)" in by_id.out
    assert "dag counting, run run2, task count" in by_id.out
    assert "was put by a user" in pachy("inspect", "job", "images@master", fails=True).err
    assert "nope" in pachy("inspect", "job", "nope", fails=True).err


def test_datums_say_why_they_ran_or_were_skipped(pachy, jobs: list[str]) -> None:
    documents = pachy("list", "datum", "counts@master", "--json").documents
    assert sorted((d["inputs"][0][1], d["state"]) for d in documents) == [
        ("/a", "skipped"),
        ("/b", "skipped"),
        ("/c", "success"),
    ]
    assert all(jobs[0] in d["reason"] for d in documents if d["state"] == "skipped")
    assert [row[1:3] for row in pachy("list", "datum", jobs[1], "--state", "success").rows] == [
        ["images:/c", "success"]
    ]


def test_datums_are_paged_by_cursor(pachy, jobs: list[str]) -> None:
    first = pachy("list", "datum", jobs[1], "--limit", "2", "--json").documents
    rest = pachy("list", "datum", jobs[1], "--after", first[-1]["cursor"], "--json").documents
    assert len({d["id"] for d in first + rest}) == 3


def test_inspect_datum_takes_the_beginning_of_an_id(pachy, jobs: list[str]) -> None:
    datum = pachy("list", "datum", jobs[1], "--state", "success", "--json").documents[0]["id"]
    shown = pachy("inspect", "datum", jobs[1], datum[:12]).out
    assert shown == pachy("inspect", "datum", "counts@master", datum).out
    assert "Output:     1 file" in shown
    assert "Exit code:  0" in shown
    assert "begin with" in pachy("inspect", "datum", jobs[1], "", fails=True).err
    assert "has no datum xyz" in pachy("inspect", "datum", jobs[1], "xyz", fails=True).err


def test_a_failed_datum_shows_the_end_of_its_log(pachy, jobs: list[str]) -> None:
    with Pfs.open() as pfs:
        put(pfs, d="bad")
        with pytest.raises(JobFailed):
            run_job(pfs, "run3")
    failed = pachy("list", "job", "--state", "failed").rows[0]
    assert failed[5] == "0 + 3 / 4 (1 failed)"
    datum = pachy("list", "datum", failed[0], "--state", "failed").rows[0][0]
    shown = pachy("inspect", "datum", failed[0], datum).out
    assert "Exit code:  3" in shown
    assert "cannot read d" in shown.partition("The end of its log:")[2]
    assert "(nothing published)" in pachy("inspect", "job", failed[0]).out


def test_stopping_a_job(pachy, jobs: list[str]) -> None:
    with Pfs.open() as pfs:
        put(pfs, e="e")
        plan = plan_job(pfs, JobRequest(PipelineSpec.from_dict(SPEC), "counting", "run4", "count"))
    pachy("stop", "job", plan.job_id, "--reason", "wrong input")
    document = pachy("inspect", "job", plan.job_id, "--json").documents[0]
    assert (document["state"], document["error"]) == ("stopped", "wrong input")


def test_provenance_reaches_across_repos(pachy, jobs: list[str], tmp_path: Path) -> None:
    upstream = pachy("list", "commit", "counts@master", "--provenance", "--json").documents
    assert [d["repo"] for d in upstream] == ["images"]
    downstream = pachy("list", "commit", "images@master", "--subvenance", "--json").documents
    assert [d["job"] for d in downstream] == [jobs[1]]
    assert pachy("list", "commit", "images@master", "--subvenance", "--reverse", fails=True).code == 2
