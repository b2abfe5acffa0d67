"""Where the lines of a datum are: in which try of which of Airflow's tasks, and which of its lines they are.

What user code prints goes into the log of its datum set's task, between two markers that the worker writes. So the
lines need no store of their own: they are wherever Airflow keeps its logs, and live as long as those.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_pachy.errors import DatumNotFound
from airflow_pachy.pipelines.jobs import inspect_job, inspect_job_datum
from airflow_pachy.worker.plan import read_plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.infos import JobInfo

_RECORD = re.compile(r"jobs/(?P<job>[^/]+)/\d+-(?P<set>\d+)/(?P<try>\d+)-")
_PLAN = re.compile(r"/(?P<attempt>\d+)-(?P<set>\d+)\.json$")
_START = re.compile(
    r"(?:\[(?P<slot>[0-9a-f-]+)\] )?(?:::group::)?pfs: datum (?P<datum>[0-9a-z-]+) start(?: \((?P<label>.*)\))?$"
)
_END = re.compile(r"(?:\[(?P<slot>[0-9a-f-]+)\] )?pfs: datum (?P<datum>[0-9a-z-]+) end (?P<code>\d+)$")
_SLOT = re.compile(r"\[(?P<slot>[0-9a-f-]{6,})\] (?P<text>.*)$", re.DOTALL)
_GROUPS = ("::group::", "::endgroup::")
BATCH = "batch-"
"""How the worker names a process that many datums share, before the id of the first of them."""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """The task of a datum set; `try_number` is None where any of its tries may have the lines."""

    job: JobInfo
    task_id: str
    map_index: int
    try_number: int | None = None


def log_place(pfs: Pfs, job_id: str, datum: str) -> LogPlace:
    """Where the lines of a job's datum are; of one that was skipped, in the job that ran it.

    Raises `JobNotFound`, `DatumNotFound`, also for a datum that no set of the job has.
    """
    found = inspect_job_datum(pfs, job_id, datum)
    match = _RECORD.match(found.record or "")
    if match is not None:
        job = inspect_job(pfs, match["job"])
        return LogPlace(job, f"{job.stage}.datums", int(match["set"]), int(match["try"]))
    job = inspect_job(pfs, job_id)
    return LogPlace(job, f"{job.stage}.datums", _planned_set(pfs, job, datum))


def _planned_set(pfs: Pfs, job: JobInfo, datum: str) -> int:
    """The set that a datum without a result is in: only its plan says so."""
    for info in pfs.store.list_keys(f"jobs/{job.id}/plan/{job.attempt:04d}-"):
        match = _PLAN.search(info.key)
        if match and any(one.id == datum for one in read_plan(pfs.store, info.key).datums):
            return int(match["set"])
    raise DatumNotFound(f"datum {datum} of job {job.id} has not been dealt into a set; is the job planned again now?")


@dataclass(frozen=True, slots=True)
class DatumLine:
    """A line that a datum's code has printed. `datum` is its id, or that of a batch (see `BATCH`)."""

    datum: str
    label: str
    text: str
    index: int


def datum_lines(texts: Iterable[str], datums: Collection[str] | None = None) -> Iterator[DatumLine]:
    """The lines between the markers of datums, those of `datums` alone if given; `index` is the place in `texts`.

    Lines of several slots may be interleaved: then each begins with the slot's datum.
    """
    running: dict[str, tuple[str, str]] = {}
    for index, text in enumerate(texts):
        if start := _START.match(text):
            running[start["slot"] or ""] = (start["datum"], start["label"] or "")
        elif end := _END.match(text):
            running.pop(end["slot"] or "", None)
        elif text.startswith(_GROUPS):
            # The next group, or the end of this one, whose own end was not seen: the container has died.
            running.pop("", None)
        elif running:
            slot, said = _of_slot(text, running)
            if slot in running:
                datum, label = running[slot]
                if datums is None or datum in datums:
                    yield DatumLine(datum, label, said, index)


def _of_slot(text: str, running: dict[str, tuple[str, str]]) -> tuple[str, str]:
    match = _SLOT.match(text)
    return (match["slot"], match["text"]) if match and match["slot"] in running else ("", text)
