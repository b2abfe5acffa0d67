"""Planning a million datums of two inputs: a join and a group of two repos, at first and after a commit of ten files.

As in `benchmarks.datums` files have no contents and nothing runs; here results have no outputs either, because what is
measured are the plans.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.tree import Tree
from airflow_pachy.pfs.tree.entries import Content, Entry, Put, Segment
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, plan_job
from airflow_pachy.worker.plan import DatumResult, ResultWriter, read_plan
from benchmarks.files import say
from benchmarks.measure import report, run_module

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.measure import Measurement
    from benchmarks.target import Target

CHANGED = 10
MANY = 100_000
REPOS = ("images", "labels")
TEMPLATES = {"join": "join_on", "group": "group_by"}


def spec_of(kind: str) -> PipelineSpec:
    """A pipeline that brings the files of both repos together by number."""
    members = [{"pfs": {"repo": repo, "glob": "/(*).png", TEMPLATES[kind]: "$1"}} for repo in REPOS]
    transform = {"image": "pairs", "cmd": ["pairs"]}
    return PipelineSpec.from_dict({"pipeline": {"name": "pairs"}, "transform": transform, "input": {kind: members}})


def prepare(pfs: Pfs, datums: int) -> None:
    """Commit a file for each datum to both repos."""
    for repo in REPOS:
        pfs.create_repo(repo)
        pfs.create_branch(f"{repo}@master")
        _commit(pfs, repo, (Put(_entry(repo, number, version=1)) for number in range(datums)))


def change(pfs: Pfs, datums: int) -> None:
    """Commit new versions of ten files, far apart, to the second repo."""
    numbers = range(0, datums, datums // CHANGED)
    _commit(pfs, REPOS[1], [Put(_entry(REPOS[1], number, version=2)) for number in numbers])


def plan(pfs: Pfs, state: Path, kind: str, run_id: str, datums: int) -> int:
    """Plan a job, and check that it is of all datums."""
    planned = plan_job(pfs, JobRequest(spec_of(kind), "benchmark", run_id, "pairs"))
    if planned.total != datums:
        raise SystemExit(f"{planned.total} datums were planned instead of {datums}")
    (state / "job").write_text(planned.job_id)
    (state / "sets").write_text(json.dumps(planned.sets))
    return planned.to_run


def finish(pfs: Pfs, state: Path) -> None:
    """Write the records of the planned sets, and publish."""
    for key in json.loads((state / "sets").read_text()):
        one = read_plan(pfs.store, key)
        with ResultWriter(pfs.store, f"{one.results_prefix}/0001") as records:
            for datum in one.datums:
                records.add(DatumResult(datum.id, "success"))
    assemble_job(pfs, (state / "job").read_text())


def _commit(pfs: Pfs, repo: str, changes: Iterable[Put]) -> None:
    commit = pfs.start_output_commit(f"{repo}@master")
    head = pfs.inspect_branch(f"{repo}@master").head
    before = pfs.tree(f"{repo}@master") if head else Tree(pfs.store, None)
    tree = before.apply(changes)
    with pfs.metadata.session() as session:
        pfs.publish_output_commit(session, commit, tree, seen_head=head)


def _entry(repo: str, number: int, *, version: int) -> Entry:
    digest = hashlib.sha256(f"{repo} {number} {version}".encode()).digest()
    return Entry(f"{number:07d}.png", Content(digest, 4096, (Segment("packs/00/none", number * 4096, 4096),)))


def measure_keyed(target: Target, folder: Path, datums: int) -> list[Measurement]:
    """The first plan and the next one after a small commit, of a join and of a group."""
    measured = []
    # Ten more processes are much for a run that only shows that all of this works.
    for kind in TEMPLATES if datums >= MANY else ("join",):
        state = folder / f"datums-{kind}"
        state.mkdir()
        arguments = {
            "url": target.url(f"datums-{kind}"),
            "s3": target.s3,
            "metadata": f"sqlite:///{state / 'metadata.db'}",
            "state": str(state),
            "datums": datums,
            "kind": kind,
        }
        first, again = f"plan all of a {kind}", f"plan a {kind} after a commit of {CHANGED}"
        for operation in ("prepare", first, "finish", "change", again):
            one = run_module("ours", operation, "benchmarks.datums_keyed", arguments)
            if operation in (first, again):
                measured.append(one)
                say(one)
    return measured


def main(operation: str, arguments: dict[str, Any]) -> None:
    """Run one operation and report it."""
    state, datums, kind = Path(arguments["state"]), arguments["datums"], arguments["kind"]
    count = 0
    with Pfs.open(arguments["url"], arguments["metadata"], s3=arguments["s3"]) as pfs:
        started = time.perf_counter()
        if operation == "prepare":
            prepare(pfs, datums)
        elif operation == "change":
            change(pfs, datums)
        elif operation == "finish":
            finish(pfs, state)
        else:
            count = plan(pfs, state, kind, operation.replace(" ", "-"), datums)
        report(time.perf_counter() - started, datums=count)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
