"""The values that go in and out of jobs: what to run, what was planned, how it went."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_pachy.pipelines.spec import PipelineSpec

JobState = Literal["planning", "running", "success", "failed", "stopped"]
JobDatumState = Literal["pending", "success", "skipped", "failed", "recovered"]

LIVE_STATES: tuple[JobState, ...] = ("planning", "running")
DEFAULT_MAX_SETS = 1024


@dataclass(frozen=True, slots=True)
class PlanTry:
    """Which try of an Airflow task asks: its `number`, Airflow's `id` of it (grows with time), or neither known.

    `cleared` says how often its run has been cleared.
    """

    number: int = 1
    id: str = ""
    cleared: int = 0


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A pipeline to run as `stage` of the Airflow run (`dag_id`, `run_id`).

    The three together name the job: asking again finds it and continues it. When it has published, and `task` is a
    later try than the one that planned it, the run was cleared: that makes a further job. `reprocess` runs every
    datum, also those done before. `max_sets` bounds the number of datum sets (Airflow's `max_map_length`).

    A job reads the newest commits; with `latest=False` the oldest that the pipeline has not read, one job
    per commit. `from_start` makes then the first job of a pipeline begin at the first commit instead of the newest.
    `commits` are chosen by hand, by `repo@branch`; `as_of` reads all branches as they were at that time. When there
    is nothing new the job runs on what was read last, unless `new_only`, which makes planning raise `NothingNew`, also
    where the newest commits are read.
    `code` is what to keep of the code that runs it, besides image and code version (see `JobInfo.code`).
    """

    spec: PipelineSpec
    dag_id: str
    run_id: str
    stage: str
    author: str | None = None
    reprocess: bool = False
    max_sets: int = DEFAULT_MAX_SETS
    latest: bool = True
    from_start: bool = False
    new_only: bool = False
    commits: Mapping[str, str] = field(default_factory=dict)
    as_of: datetime | None = None
    code: Mapping[str, str] = field(default_factory=dict)
    task: PlanTry = PlanTry()


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a job is going to do: of `total` datums, `skipped` are done already and `to_run` lie in `sets`.

    `sets` are the bucket keys of the set plans, one per pod. `done` says that the job has published
    already, so there is nothing to run or assemble. `more` says that further commits wait for jobs of their own.
    """

    job_id: str
    output_commit: str
    attempt: int
    total: int
    skipped: int
    to_run: int
    sets: list[str] = field(default_factory=list)
    done: bool = False
    more: bool = False


@dataclass(frozen=True, slots=True)
class JobInputInfo:
    """The commit a job reads through one input."""

    name: str
    repo: str
    branch: str
    commit: str


@dataclass(frozen=True, slots=True)
class JobInfo:
    """How a job stands. Of its `datums_total`, those neither processed, skipped, failed nor recovered are to run yet.

    `round` is 1 for the first job of a run's stage, and counts those that clearing the run after a success has made.
    `output_commit` is on the branch only if `state` is "success"; otherwise it is open, or closed with an error.
    `code` says what ran: `image` and `code_version` as asked for, and the DAG's `bundle`, `bundle_version` (a git
    commit, where DAGs come from git) and `dag_version` (Airflow's id), as far as known. `images` are ids of the images
    that pods really had, with their digests.
    """

    id: str
    pipeline: str
    version: int
    dag_id: str
    run_id: str
    stage: str
    attempt: int
    state: JobState
    output_repo: str
    output_branch: str
    output_commit: str | None
    inputs: tuple[JobInputInfo, ...]
    datums_total: int
    datums_processed: int
    datums_skipped: int
    datums_failed: int
    datums_recovered: int
    download_bytes: int
    upload_bytes: int
    started: datetime
    finished: datetime | None
    author: str | None
    error: str | None
    code: Mapping[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    round: int = 1


@dataclass(frozen=True, slots=True)
class JobDatum:
    """One datum of a job. `reason` says why it runs or is skipped, `error` why it failed.

    `inputs` are (input name, path) pairs. `record` is the bucket key of the result record that holds
    its outputs, log tail and timings, `row` its place there. `log` is the URL of the Airflow task whose log has its
    lines, without a host where Airflow's address is not known. `cursor` continues a listing after it.
    """

    id: str
    state: JobDatumState
    reason: str
    inputs: tuple[tuple[str, str], ...]
    error: str = ""
    record: str | None = None
    row: int = 0
    log: str | None = None
    cursor: str = ""
