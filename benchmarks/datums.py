"""Planning and assembling a million datums: does a job cost what changed, or what exists?

Input files have no contents and nothing runs: result records are written as pods would write them, with one output
of 3 kB each that does not exist either. What is measured is the control plane alone. Only the last operation runs code,
on a tenth of the datums, in batches of a thousand.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.client import base
from airflow_pachy.pfs.objects import CountingStore
from airflow_pachy.pfs.tree import Tree
from airflow_pachy.pfs.tree.entries import Content, Entry, Put, Segment
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, plan_job
from airflow_pachy.worker.local import LocalRunner
from airflow_pachy.worker.plan import DatumResult, ResultWriter, read_plan
from airflow_pachy.worker.run import run_set
from benchmarks.datums_keyed import measure_keyed
from benchmarks.files import say
from benchmarks.measure import report, run_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.measure import Measurement
    from benchmarks.target import Target

CHANGED = 10
SPEC = PipelineSpec.from_dict(
    {
        "pipeline": {"name": "edges"},
        "transform": {"image": "edges", "cmd": ["edges"]},
        "input": {"pfs": {"repo": "images", "glob": "/*"}},
    }
)

CODE = """
import os, pathlib
for datum in pathlib.Path(os.environ["PACH_BATCH"]).iterdir():
    for file in (datum / "images").iterdir():
        (datum / "out" / file.name).write_bytes(file.read_bytes()[::-1])
"""
BATCHES = PipelineSpec.from_dict(
    {
        "pipeline": {"name": "edges"},
        "transform": {"image": "edges", "cmd": ["python3", "-c", CODE], "batch": 1000},
        "input": {"pfs": {"repo": "images", "glob": "/*"}},
    }
)


def prepare(pfs: Pfs, state: Path, datums: int) -> int:  # noqa: ARG001 - every operation has the same arguments
    """Commit the files."""
    pfs.create_repo("images")
    pfs.create_branch("images@master")
    _commit(pfs, (Put(_entry(number, version=1)) for number in range(datums)))
    return datums


def plan(pfs: Pfs, state: Path, datums: int) -> int:  # noqa: ARG001 - every operation has the same arguments
    """The first plan: every datum is new."""
    return _plan(pfs, state, "first")


def assemble(pfs: Pfs, state: Path, datums: int) -> int:
    """The first assembly: every datum's output is new."""
    assemble_job(pfs, (state / "job").read_text())
    return datums


def change(pfs: Pfs, state: Path, datums: int) -> int:  # noqa: ARG001 - every operation has the same arguments
    """Commit new versions of ten files, far apart."""
    _commit(pfs, [Put(_entry(number, version=2)) for number in range(0, datums, datums // CHANGED)])
    return CHANGED


def plan_again(pfs: Pfs, state: Path, datums: int) -> int:  # noqa: ARG001 - every operation has the same arguments
    """The plan of the next job: ten datums are new."""
    return _plan(pfs, state, "second")


def run(pfs: Pfs, state: Path, datums: int) -> int:  # noqa: ARG001 - every operation has the same arguments
    """Write the records of the planned sets."""
    count = 0
    for key in json.loads((state / "sets").read_text()):
        one = read_plan(pfs.store, key)
        with ResultWriter(pfs.store, f"{one.results_prefix}/0001") as records:
            for datum in one.datums:
                records.add(DatumResult(datum.id, "success", outputs=(_output(datum.inputs[0].path, datum.id),)))
                count += 1
    return count


def prepare_files(pfs: Pfs, state: Path, datums: int) -> int:  # noqa: ARG001 - every operation has the same arguments
    """Commit files that are there."""
    pfs.create_repo("images")
    with pfs.commit("images@master") as commit:
        for number in range(datums):
            commit.put_file(f"/{number:07d}.txt", b"%d" % number)
    return datums


def run_batches(pfs: Pfs, state: Path, datums: int) -> int:
    """One whole job: planned, run by processes of this machine in batches, assembled."""
    planned = plan_job(pfs, JobRequest(BATCHES, "benchmark", "batches", "edges"))
    # Without a private /pfs, which not every machine allows: the code finds its batch by $PACH_BATCH.
    with LocalRunner(os.cpu_count() or 1, scratch=state, pfs_root_env=True, log=_nothing) as runner:
        for key in planned.sets:
            outcome = run_set(pfs.store, read_plan(pfs.store, key), runner)
            if outcome.exit_code:
                raise SystemExit(f"set {key} ended with {outcome}")
    job = assemble_job(pfs, planned.job_id)
    found = sum(1 for _ in pfs.tree("edges@master").entries())
    if (job.datums_processed, found) != (datums, datums):
        raise SystemExit(f"{job.datums_processed} datums made {found} files instead of {datums} each")
    return datums


OPERATIONS: dict[str, Callable[[Pfs, Path, int], int]] = {
    "prepare": prepare,
    "plan all": plan,
    "run": run,
    "assemble all": assemble,
    "change": change,
    "plan after a commit of 10": plan_again,
    "assemble after a commit of 10": assemble,
    "prepare files": prepare_files,
}
MEASURED = ("plan all", "assemble all", "plan after a commit of 10", "assemble after a commit of 10")
SEQUENCE = (
    *("prepare", "plan all", "run", "assemble all", "change", "plan after a commit of 10", "run"),
    "assemble after a commit of 10",
)


def _nothing(line: str) -> None:
    """The code says nothing, but for the lines around each batch."""


def _plan(pfs: Pfs, state: Path, run_id: str) -> int:
    planned = plan_job(pfs, JobRequest(SPEC, "benchmark", run_id, "edges"))
    (state / "job").write_text(planned.job_id)
    (state / "sets").write_text(json.dumps(planned.sets))
    return planned.to_run


def _commit(pfs: Pfs, changes: Iterable[Put]) -> None:
    commit = pfs.start_output_commit("images@master")
    head = pfs.inspect_branch("images@master").head
    before = pfs.tree("images@master") if head else Tree(pfs.store, None)
    tree = before.apply(changes)
    with pfs.metadata.session() as session:
        pfs.publish_output_commit(session, commit, tree, seen_head=head)


def _entry(number: int, *, version: int) -> Entry:
    digest = hashlib.sha256(b"%d %d" % (number, version)).digest()
    return Entry(f"{number:07d}.png", Content(digest, 4096, (Segment("packs/00/none", number * 4096, 4096),)))


def _output(path: str, datum: str) -> Entry:
    digest = hashlib.sha256(path.encode()).digest()
    return Entry(f"{path}.edges", Content(digest, 3000, (Segment("packs/00/none", 0, 3000),)), datum=datum)


def operation_of(name: str) -> Callable[[Pfs, Path, int], int]:
    """The operation's function; the title of the last one has its number of datums."""
    return OPERATIONS.get(name, run_batches)


def main(operation: str, arguments: dict[str, Any]) -> None:
    """Run one operation and report it."""
    stores: list[CountingStore] = []
    opening: Any = base
    plain = opening.open_store

    def open_counting(*args: Any, **kwargs: Any) -> CountingStore:
        stores.append(CountingStore(plain(*args, **kwargs)))
        return stores[-1]

    opening.open_store = open_counting
    with Pfs.open(arguments["url"], arguments["metadata"], s3=arguments["s3"]) as pfs:
        started = time.perf_counter()
        count = operation_of(operation)(pfs, Path(arguments["state"]), arguments["datums"])
        report(time.perf_counter() - started, stores[0], datums=count)


def measure_datums(target: Target, folder: Path, datums: int) -> list[Measurement]:
    """A job of so many datums, and the next one after a small commit, then a tenth of them run for real."""
    state = folder / "datums"
    state.mkdir()
    arguments = {
        "url": target.url("datums"),
        "s3": target.s3,
        "metadata": f"sqlite:///{state / 'metadata.db'}",
        "state": str(state),
        "datums": datums,
    }
    measured = []
    for name in SEQUENCE:
        one = run_module("ours", name, "benchmarks.datums", arguments)
        if name in MEASURED:
            measured.append(one)
            say(one)
    few = {**arguments, "url": target.url("batches"), "metadata": f"sqlite:///{state / 'batches.db'}"}
    few |= {"datums": datums // 10}
    run_module("ours", "prepare files", "benchmarks.datums", few)
    measured.append(run_module("ours", f"run {datums // 10:,} in batches", "benchmarks.datums", few))
    say(measured[-1])
    return [*measured, *measure_keyed(target, folder, datums)]


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
