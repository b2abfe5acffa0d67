"""`pachy logs`: what the code of a pipeline has printed, read from Airflow's logs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

import click

from airflow_pachy.cli.airflow import NoAirflow, find_airflow
from airflow_pachy.cli.command import command
from airflow_pachy.cli.datums import find_datum, read_record
from airflow_pachy.cli.jobs import job_id
from airflow_pachy.cli.output import print_json
from airflow_pachy.errors import DatumNotFound, InvalidArgument, JobNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_pachy.cli.airflow import Airflow, LogLine, TaskTry
    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import JobDatum, JobInfo
    from airflow_pachy.pipelines.log_places import LogPlace

FOLLOW_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Printed:
    """A line with where it comes from."""

    job: str
    task: str
    line: LogLine
    datum: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines: of `job`, of the datums if any are named, else of all its sets, or of its other steps."""

    job: JobInfo
    datums: tuple[JobDatum, ...] = ()
    named: bool = False
    master: bool = False
    since: datetime | None = None


@command(
    "pachy logs --pipeline edges                     # its newest job",
    "pachy logs --job edges@master --datum 3a7bd",
    "pachy logs --pipeline edges --inputs /a.png,/b.png --tail 20",
    "pachy logs --job 6f1c0a4be0d54f7d9a1c3de1f0b7a9c2 --since 10m --follow --raw",
    "pachy logs --pipeline edges --master            # how it was planned and published",
)
@click.option("-p", "--pipeline", metavar="NAME", help="The newest job of this pipeline.")
@click.option("-j", "--job", metavar="JOB", help="This job, by its id or by the commit it made.")
@click.option("--datum", metavar="ID", help="Only this datum; the beginning of its id is enough.")
@click.option("--inputs", metavar="PATH,...", help="Only datums that read one of these paths.")
@click.option("--master", is_flag=True, help="The log of the job's planning and publishing instead of the code's.")
@click.option("-t", "--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("--since", metavar="TIME", help="Only lines since then: 10m, 1h30m, or a time as 2024-05-01T12:00:00Z.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over.")
@click.option("--raw", is_flag=True, help="One JSON document per line: ts, message, level, jobId, datumId, task.")
def logs(
    session: Session,
    *,
    pipeline: str | None,
    job: str | None,
    datum: str | None,
    inputs: str | None,
    master: bool,
    tail: int | None,
    since: str | None,
    follow: bool,
    raw: bool,
) -> None:
    """Print what the code has printed for a job or some of its datums.

    The lines are in Airflow's task logs, wherever these are kept. They are read through Airflow's API when
    PACHY_AIRFLOW_URL is set, else through the Airflow that is configured here. Without either, the last lines of the
    datums that were asked for are printed, which are stored with their results.
    """
    if (pipeline is None) == (job is None):
        raise click.UsageError("Name a pipeline with --pipeline, or a job with --job.")
    if master and (datum or inputs):
        raise click.UsageError("--master is for the whole job, not for a datum.")
    wanted = _wanted(session.pfs, pipeline, job, datum, inputs, master=master, since=since)
    try:
        airflow = find_airflow()
        lines = (
            _follow(session.pfs, airflow, wanted, tail) if follow else _tail(_read(session.pfs, airflow, wanted), tail)
        )
        printed = 0
        for one in lines:
            printed += 1
            _print(one, raw=raw)
    except NoAirflow as error:
        if not wanted.named:
            raise
        _print_ends(session.pfs, wanted, error, tail=tail, raw=raw)
        return
    if not printed and not follow:
        _explain_nothing(session.pfs, wanted)


def _wanted(
    pfs: Pfs,
    pipeline: str | None,
    job: str | None,
    datum: str | None,
    inputs: str | None,
    *,
    master: bool,
    since: str | None,
) -> Wanted:
    from airflow_pachy.pipelines import inspect_job, list_job_datums, list_jobs

    if job is not None:
        info = inspect_job(pfs, job_id(pfs, job))
    else:
        from airflow_pachy.pipelines.lifecycle import inspect_pipeline

        name = inspect_pipeline(pfs, pipeline or "").name
        newest = next(iter(list_jobs(pfs, pipeline=name, limit=1)), None)
        if newest is None:
            raise JobNotFound(f"pipeline {name!r} has had no job yet")
        info = newest
    found: list[JobDatum] = []
    if datum:
        found.append(find_datum(pfs, info.id, datum))
    if inputs:
        paths = {f"/{path.strip().lstrip('/')}" for path in inputs.split(",") if path.strip()}
        reading = [one for one in list_job_datums(pfs, info.id) if any(path in paths for _, path in one.inputs)]
        if not reading:
            raise DatumNotFound(f"no datum of job {info.id} reads {inputs}; list them with: pachy list datum {info.id}")
        found += [one for one in reading if one not in found]
    return Wanted(info, tuple(found), bool(datum or inputs), master, _moment(since))


def _moment(text: str | None) -> datetime | None:
    """`10m` before now, or a time. Raises `InvalidArgument`."""
    if text is None:
        return None
    from airflow_pachy.errors import InvalidSpec
    from airflow_pachy.pipelines.durations import parse_duration

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return datetime.now(UTC) - parse_duration(text)
        except InvalidSpec as error:
            raise InvalidArgument(
                f"--since {text} is neither a duration (10m, 1h30m) nor a time (2024-05-01T12:00:00Z)"
            ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read(pfs: Pfs, airflow: Airflow, wanted: Wanted) -> Iterator[Printed]:
    """What there is now, in the order of the sets and their tries."""
    if wanted.master:
        for step in ("plan", "assemble"):
            for one in airflow.tries(wanted.job.dag_id, wanted.job.run_id, f"{wanted.job.stage}.{step}"):
                yield from _whole(airflow, one, wanted)
    elif wanted.named:
        from airflow_pachy.pipelines.log_places import log_place

        places = [(one, log_place(pfs, wanted.job.id, one.id)) for one in wanted.datums]
        known: dict[tuple[str, str, str], list[TaskTry]] = {}
        for datum, place in places:
            job = place.job
            key = (job.dag_id, job.run_id, place.task_id)
            if key not in known:
                known[key] = airflow.tries(*key)
            for one in _tries_of(place, known[key]):
                yield from _of_datums(airflow, one, wanted, job.id, datum.id)
    else:
        job = wanted.job
        for one in airflow.tries(job.dag_id, job.run_id, f"{job.stage}.datums"):
            yield from _of_datums(airflow, one, wanted, job.id, None)


def _tries_of(place: LogPlace, tries: Sequence[TaskTry]) -> list[TaskTry]:
    """Those that may have a datum's lines. Tries before that of its record ran it too, if it was tried again."""
    last = place.try_number
    return [one for one in tries if one.map_index == place.map_index and (last is None or one.try_number <= last)]


def _whole(airflow: Airflow, one: TaskTry, wanted: Wanted) -> Iterator[Printed]:
    for line in airflow.read_log(one):
        if _is_new(line, wanted.since):
            yield Printed(wanted.job.id, _label(one), line)


def _of_datums(airflow: Airflow, one: TaskTry, wanted: Wanted, job: str, datum: str | None) -> Iterator[Printed]:
    """The lines of one datum, or of all, in one log. Datums of a batch have one log together."""
    from airflow_pachy.pipelines.log_places import BATCH, datum_lines

    read = list(airflow.read_log(one))
    found = list(datum_lines(line.text for line in read))
    if datum is not None:
        own = [line for line in found if datum == line.datum]
        found = own or [line for line in found if line.datum.startswith(BATCH)]
    for line in found:
        original = read[line.index]
        if _is_new(original, wanted.since):
            shown = type(original)(line.text, original.moment, original.level)
            yield Printed(job, _label(one), shown, line.datum)


def _is_new(line: LogLine, since: datetime | None) -> bool:
    return since is None or line.moment is None or line.moment >= since


def _label(one: TaskTry) -> str:
    index = f"[{one.map_index}]" if one.map_index >= 0 else ""
    return f"{one.task_id}{index}, try {one.try_number}"


def _tail(lines: Iterator[Printed], tail: int | None) -> Iterator[Printed]:
    if tail is None:
        return lines
    from collections import deque

    return iter(deque(lines, maxlen=tail))


def _follow(pfs: Pfs, airflow: Airflow, wanted: Wanted, tail: int | None) -> Iterator[Printed]:
    """What there is and what comes, until the job is over: logs grow at their ends, and sets get new tries."""
    from airflow_pachy.pipelines import inspect_job
    from airflow_pachy.pipelines.infos import LIVE_STATES

    seen: dict[tuple[str, str, str], int] = {}
    first = True
    while True:
        over = inspect_job(pfs, wanted.job.id).state not in LIVE_STATES
        counts: dict[tuple[str, str, str], int] = {}
        news: list[Printed] = []
        for one in _read(pfs, airflow, wanted):
            key = (one.job, one.task, one.datum)
            counts[key] = counts.get(key, 0) + 1
            if counts[key] > seen.get(key, 0):
                news.append(one)
        seen |= counts
        yield from _tail(iter(news), tail) if first else news
        first = False
        if over:
            return
        time.sleep(FOLLOW_SECONDS)


def _print(one: Printed, *, raw: bool) -> None:
    if not raw:
        click.echo(one.line.text)
        return
    print_json(
        {
            "ts": one.line.moment,
            "message": one.line.text,
            "level": one.line.level,
            "jobId": one.job,
            "datumId": one.datum or None,
            "task": one.task,
        }
    )


def _print_ends(pfs: Pfs, wanted: Wanted, error: NoAirflow, *, tail: int | None, raw: bool) -> None:
    """The last lines that the results hold; they are there while Airflow is down, and after it has forgotten."""
    from airflow_pachy.cli.airflow import LogLine

    click.echo(f"pachy: only the stored ends of the logs, as {error}", err=True)
    for datum in wanted.datums:
        result = read_record(pfs, datum)
        texts = result.log_tail.splitlines() if result else []
        lines = (Printed(wanted.job.id, "", LogLine(text), datum.id) for text in texts)
        for one in _tail(lines, tail):
            _print(one, raw=raw)


def _explain_nothing(pfs: Pfs, wanted: Wanted) -> None:
    """Say where lines should have been, since nothing may mean several things; the stored ends if there are any."""
    job = wanted.job
    stored = [result for one in wanted.datums if (result := read_record(pfs, one)) and result.log_tail.strip()]
    if stored and not wanted.since:
        click.echo(
            f"pachy: Airflow has no log of {job.dag_id} / {job.run_id} any more; these are the stored ends.", err=True
        )
        for text in chain.from_iterable(result.log_tail.splitlines() for result in stored):
            click.echo(text)
        return
    where = f"DAG {job.dag_id}, run {job.run_id}, tasks {job.stage}.*"
    click.echo(
        f"pachy: nothing is printed there. Job {job.id} is {job.state}; its log in Airflow is that of {where}.",
        err=True,
    )
