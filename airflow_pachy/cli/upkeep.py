"""`pachy gc|fsck|extract|restore` and `pachy update|inspect retention`: looking after a root."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import command, json_option
from airflow_pachy.cli.output import print_fields, print_json, print_list
from airflow_pachy.cli.progress import is_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs.upkeep.extract import ArchiveInfo
    from airflow_pachy.pfs.upkeep.report import GcReport


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    """`7d`, `36h`, `30m`, `0`; a number alone means days."""
    found = re.fullmatch(r"(\d+)([smhd]?)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no duration; write a number and s, m, h or d, such as 36h", ctx, param)
    return timedelta(**{_UNITS[found[2] or "d"]: int(found[1])})


@command(
    "pachy gc",
    "pachy gc --delete",
    "pachy gc --delete --grace 2d --keep-last 10",
    "pachy gc --json",
)
@click.option("--delete", "delete_", is_flag=True, help="Delete; without it, nothing is changed, only told.")
@click.option(
    "--grace",
    callback=_duration,
    metavar="TIME",
    default="7d",
    show_default=True,
    help="How long unneeded objects stay.",
)
@click.option(
    "--max-age",
    callback=_duration,
    metavar="TIME",
    default="3d",
    show_default=True,
    help="How long open commits and jobs may go without a sign of life.",
)
@click.option("--keep-last", type=click.IntRange(min=1), metavar="N", help="Commits of each branch that keep data.")
@click.option("--keep-days", type=click.IntRange(min=0), metavar="N", help="Days for which commits keep data.")
@click.option("--force", is_flag=True, help="Also if the bucket has copies of what the database does not know.")
@json_option
def gc(
    session: Session,
    *,
    delete_: bool,
    grace: timedelta,
    max_age: timedelta,
    keep_last: int | None,
    keep_days: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Delete objects in the bucket that nothing needs any more.

    Writers may go on meanwhile, as long as each of them is done within the grace: objects that are younger, and what
    was removed more recently, stay. A grace of 0 is for a root that nobody writes to. The retention options are for
    repos that have none of their own (see `pachy update retention`).
    """
    with _progress() as progress:
        report = session.pfs.gc(
            dry_run=not delete_,
            grace=grace,
            max_age=max_age,
            keep_last=keep_last,
            keep_days=keep_days,
            force=force,
            progress=progress,
        )
    if as_json:
        print_json(report)
        return
    _print_report(report)


def _print_report(report: GcReport) -> None:
    print_list(
        report.usage,
        [
            ("REPO", lambda one: one.repo or "-"),
            ("KIND", lambda one: one.kind),
            ("FATE", lambda one: "deleted" if one.fate == "condemned" and not report.dry_run else one.fate),
            ("OBJECTS", lambda one: str(one.objects)),
            ("SIZE", lambda one: human.size(one.size_bytes)),
        ],
        as_json=False,
    )
    total = f"{report.condemned_objects} objects, {human.size(report.condemned_bytes)}"
    if report.dry_run:
        click.echo(f"Would delete {total}; `pachy gc --delete` does.")
    else:
        click.echo(f"Deleted {total}.")
    verb = "Would forget" if report.dry_run else "Forgot"
    if report.forgotten:
        click.echo(f"{verb} the data of {len(report.forgotten)} commits beyond their retention.")
    for one in report.expired_jobs:
        click.echo(f"{'Would give up' if report.dry_run else 'Gave up'} the job {one}: nobody works on it.")
    for one in report.expired:
        click.echo(f"{'Would give up' if report.dry_run else 'Gave up'} the open commit {one}: nobody writes to it.")
    if report.dead_bytes:
        click.echo(f"{human.size(report.dead_bytes)} are dead, but lie in packs with live contents.")


@command("pachy fsck", "pachy fsck --fix", "pachy fsck --deep", "pachy --metadata sqlite:///new.db fsck --rebuild")
@click.option("--fix", is_flag=True, help="Repair what can be repaired.")
@click.option("--deep", is_flag=True, help="Read all contents and check them against their hashes.")
@click.option("--rebuild", is_flag=True, help="Fill an empty database from the bucket.")
@json_option
def fsck(session: Session, *, fix: bool, deep: bool, rebuild: bool, as_json: bool) -> int:
    """Check that everything is there and fits together; each problem is a line that says what to do about it.

    Ends with status 1 if problems are left.
    """
    if rebuild and (fix or deep):
        raise click.UsageError("--rebuild goes with no other option: check the new database afterwards.")
    with _progress() as progress:
        problems = session.pfs.fsck(fix=fix, deep=deep, rebuild=rebuild, progress=progress)
    for problem in problems:
        if as_json:
            print_json(problem)
        else:
            click.echo(str(problem))
    if rebuild:
        repos = sum(1 for _ in session.pfs.list_repos())
        click.echo(f"Rebuilt the database with {repos} repos.", err=True)
        return 0
    left = sum(not problem.fixed for problem in problems)
    if not problems and not as_json:
        click.echo("No problems found.")
    return 1 if left else 0


@command("pachy extract root.tar", "pachy extract s3://backups/2026-11", "pachy extract rows.tar --no-objects")
@click.argument("target")
@click.option("--no-objects", is_flag=True, help="Only what the database knows, without data.")
@json_option
def extract(session: Session, *, target: str, no_objects: bool, as_json: bool) -> None:
    """Write everything, metadata and data, into a tar file or below an object store URL.

    Writers may go on; the archive holds the state of the moment at which it was begun.
    """
    with _progress() as progress:
        info = session.pfs.extract(target, objects=not no_objects, progress=progress)
    _print_archive(info, as_json=as_json)


@command("pachy restore root.tar", "pachy --storage s3://new/root restore s3://backups/2026-11")
@click.argument("source")
@json_option
def restore(session: Session, *, source: str, as_json: bool) -> None:
    """Fill an empty root from an archive that `pachy extract` wrote, perhaps on another store and database.

    If it is interrupted, run it again: nothing is visible before everything is there.
    """
    with _progress() as progress:
        info = session.pfs.restore(source, progress=progress)
    _print_archive(info, as_json=as_json)


def _print_archive(info: ArchiveInfo, *, as_json: bool) -> None:
    fields = [
        ("Archive", info.id),
        ("Rows", str(info.rows)),
        ("Objects", f"{info.objects} ({human.size(info.object_bytes)})"),
        ("Checksum", info.blake3),
    ]
    print_fields(info, fields, as_json=as_json)


@command("pachy update retention images --keep-last 10 --keep-days 30", "pachy update retention images")
@click.argument("repo")
@click.option("--keep-last", type=click.IntRange(min=1), metavar="N", help="Commits of each branch that keep data.")
@click.option("--keep-days", type=click.IntRange(min=0), metavar="N", help="Days for which commits keep data.")
def update_retention(session: Session, *, repo: str, keep_last: int | None, keep_days: int | None) -> None:
    """Say how long commits of a repo keep their data; without options, for ever.

    With both, a commit keeps its data while either holds. Heads, tagged commits and what jobs read always do.
    `pachy gc --delete` forgets the rest: files go, metadata and provenance stay.
    """
    session.pfs.set_retention(repo, keep_last=keep_last, keep_days=keep_days)


@command("pachy inspect retention images")
@click.argument("repo")
@json_option
def inspect_retention(session: Session, *, repo: str, as_json: bool) -> None:
    """Show how long commits of a repo keep their data."""
    found = session.pfs.retention(repo)
    kept = "for ever" if found.keeps_all else ""
    fields = [
        ("Data is kept", kept),
        ("Commits of each branch", str(found.keep_last or "")),
        ("Days", "" if found.keep_days is None else str(found.keep_days)),
    ]
    print_fields(found, fields, as_json=as_json)


_TITLES = {
    "mark": "marking",
    "list": "listing",
    "delete": "deleting",
    "compare": "comparing copies",
    "check": "checking trees",
    "content": "reading contents",
    "read": "reading copies",
    "rows": "rows",
    "copy": "copying",
    "restore": "restoring",
}


@contextmanager
def _progress() -> Iterator[Callable[[str, int], None] | None]:
    """A line for each phase with the number of things done; nothing when nobody looks."""
    if not is_shown():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def advance(phase: str, done: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(_TITLES.get(phase, phase), total=None)
            progress.advance(tasks[phase], done)

        yield advance
