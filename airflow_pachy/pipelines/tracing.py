"""From a file back to what made it: the datum, its input files, the code, the Airflow run and the log.

A file of a job's commit names the datum that wrote it. The datum may have run in a much older job, and was carried over
since; it is that job's inputs, version and run that made the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import DatumNotFound, InvalidArgument, PipelineNotFound
from airflow_pachy.metadata.models import Job
from airflow_pachy.pipelines.job_rows import describe_job, find_job
from airflow_pachy.pipelines.lifecycle import inspect_pipeline
from airflow_pachy.pipelines.log_links import LogLinks
from airflow_pachy.pipelines.memory import open_tree
from airflow_pachy.pipelines.rows import UNFINISHED, DatumRow, read_row
from airflow_pachy.pipelines.visibility import require_readable
from airflow_pachy.worker.records import decode_results

if TYPE_CHECKING:
    from airflow_pachy.pfs import FileInfo
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.infos import JobInfo
    from airflow_pachy.worker.records import DatumResult


@dataclass(frozen=True, slots=True)
class TracedInput:
    """What a datum read through one input: a file or directory of a commit, `repo@commit:/path`."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class FileTrace:
    """How a file came to be.

    `published_by` is the job whose commit it was asked of, `made_by` the one that ran the datum. `transform` is that of
    the pipeline's version then: image, command, standard input, environment and whatever else its spec has there;
    `reason` says why the datum ran, and if it went on from an earlier output. `task` and `datum_set` say whose log in
    Airflow has the datum's lines, `log` is its URL. Files that no job made have none of these, only an author and a
    description.
    """

    file: FileInfo
    commit: str
    author: str | None
    description: str
    datum: str | None = None
    reason: str | None = None
    inputs: tuple[TracedInput, ...] = ()
    published_by: JobInfo | None = None
    made_by: JobInfo | None = None
    pipeline: str | None = None
    version: int | None = None
    transform: dict[str, Any] | None = None
    code_version: str | None = None
    task: str | None = None
    datum_set: int | None = None
    log: str | None = None
    result: DatumResult | None = None


def trace_file(pfs: Pfs, address: str) -> FileTrace:
    """Trace a file, `repo@branch-or-commit:/path`.

    Raises `PathNotFound`, `InvalidArgument` for a directory, and `Denied` unless the caller may also read what the file
    was made from.
    """
    found = pfs.inspect_file(address)
    if found.type != "file":
        raise InvalidArgument(f"{address} is a directory, which many datums may have made; name a file in it")
    info = pfs.inspect_commit(address.partition(":")[0])
    if info.job is None or found.datum is None:
        return FileTrace(found, str(info), info.author, info.description)
    with pfs.metadata.reader() as session:
        publishing = describe_job(find_job(session, info.job))
        row = _row(pfs, publishing, find_job(session, info.job).datums, found.datum)
        old = session.get(Job, row.job)
        making = describe_job(old) if old is not None else publishing
    require_readable(pfs, publishing)
    require_readable(pfs, making)
    transform, code_version = _code(pfs, making)
    commits = {one.name: (one.repo, one.commit) for one in making.inputs}
    return FileTrace(
        file=found,
        commit=str(info),
        author=making.author,
        description=info.description,
        datum=found.datum,
        reason=row.reason or None,
        inputs=tuple(TracedInput(one.name, _address(commits, one.name, one.path)) for one in row.inputs),
        published_by=publishing,
        made_by=making,
        pipeline=making.pipeline,
        version=making.version,
        transform=transform,
        code_version=code_version,
        task=f"{making.stage}.datums",
        datum_set=_set_number(row.record),
        log=LogLinks(pfs).of_record(row.record),
        result=decode_results(pfs.store.get(row.record), key=row.record)[row.row] if row.record else None,
    )


def _row(pfs: Pfs, job: JobInfo, root: str | None, datum: str) -> DatumRow:
    tree = open_tree(pfs, root)
    entry = tree.get(datum) or tree.get(UNFINISHED + datum)
    if entry is None:
        raise DatumNotFound(f"job {job.id} has no datum {datum}, though a file of its commit names it; see: pachy fsck")
    return read_row(entry)


def _code(pfs: Pfs, job: JobInfo) -> tuple[dict[str, Any] | None, str | None]:
    """Transform and code version of the pipeline as the job ran it; nothing once the pipeline is deleted."""
    try:
        spec = inspect_pipeline(pfs, job.pipeline, job.version).spec
    except PipelineNotFound:
        return None, None
    return spec.get("transform"), spec.get("code_version")


def _address(commits: dict[str, tuple[str, str]], name: str, path: str) -> str:
    repo, commit = commits.get(name, (name, ""))
    return f"{repo}@{commit}:/{path.lstrip('/')}"


def _set_number(record: str | None) -> int | None:
    """The number of the datum set in a record's key, `jobs/<job>/<job attempt>-<set>/<attempt>/<seq>.parquet`."""
    found = re.match(r"jobs/[^/]+/\d+-(\d+)/", record or "")
    return int(found[1]) if found else None
