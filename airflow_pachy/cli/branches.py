"""`pachy create|list|inspect|delete branch` and `pachy tick trigger`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import command, json_option, limit_option
from airflow_pachy.cli.output import print_fields, print_list

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import BranchInfo


@command(
    "pachy create branch images@staging",
    "pachy create branch images@master --head staging        # release what is on staging",
    "pachy create branch images@master --head master^        # roll back by one commit",
    "pachy create branch edges@master --provenance images@master",
    "pachy create branch images@master --trigger staging --trigger-commits 10 --trigger-size 1G",
    'pachy create branch images@nightly --trigger master --trigger-cron "0 3 * * *"',
)
@click.argument("branch")
@click.option("--head", metavar="COMMIT", help="What to point at: a branch or a commit id, with ^2 or .1 behind it.")
@click.option("-p", "--provenance", multiple=True, metavar="REPO@BRANCH", help="A branch it is made from; repeatable.")
@click.option("--no-provenance", is_flag=True, help="It is made from no other branch any more.")
@click.option("-t", "--trigger", metavar="BRANCH", help="Follow this branch of the repo when a condition below holds.")
@click.option("--trigger-size", metavar="SIZE", help="It has grown by so much, as in 100M (units of 1000).")
@click.option("--trigger-commits", type=click.IntRange(min=1), metavar="N", help="It has so many new commits.")
@click.option("--trigger-rate-limit", metavar="CRON", help="A time of this schedule has passed since the last move.")
@click.option("--trigger-all", is_flag=True, help="All of the conditions must hold, not one of them.")
@click.option("--trigger-cron", metavar="CRON", help="Instead of conditions: follow at the times of this schedule.")
@click.option("--no-trigger", is_flag=True, help="It follows no branch any more.")
def create(
    session: Session,
    *,
    branch: str,
    head: str | None,
    provenance: tuple[str, ...],
    no_provenance: bool,
    no_trigger: bool,
    **trigger: Any,
) -> None:
    """Create a branch, or change an existing one: where it points, what it is made from, which branch it follows.

    What is not given stays. Pointing a branch at an older commit is how to roll back.
    """
    repo = branch.partition("@")[0]
    target = f"{repo}@{head}" if head is not None and "@" not in head else head
    if provenance and no_provenance:
        raise click.UsageError("--provenance and --no-provenance cannot both be meant.")
    upstream = [] if no_provenance else list(provenance) or None
    session.pfs.create_branch(branch, head=target, provenance=upstream, trigger=_trigger(trigger, off=no_trigger))


def _trigger(options: dict[str, Any], *, off: bool) -> dict[str, Any] | Literal[False] | None:
    """The trigger that the options describe; None if there are none, False to take it away."""
    source = options.pop("trigger")
    given = {name.removeprefix("trigger_"): value for name, value in options.items() if value}
    if off and (source or given):
        raise click.UsageError("--no-trigger takes a trigger away; give no other option for it.")
    if given and not source:
        raise click.UsageError(f"--trigger-{next(iter(given)).replace('_', '-')} needs --trigger BRANCH.")
    if off:
        return False
    return {"branch": source, **given} if source else None


@command("pachy list branch images", "pachy list branch images --json")
@click.argument("repo")
@json_option
@limit_option
def list_(session: Session, *, repo: str, as_json: bool, limit: int | None) -> None:
    """List the branches of a repo with their head commits."""
    print_list(session.pfs.list_branches(repo), _columns(), as_json=as_json, limit=limit)


@command("pachy inspect branch images@master", "pachy inspect branch images@master --json")
@click.argument("branch")
@json_option
def inspect(session: Session, *, branch: str, as_json: bool) -> None:
    """Show one branch: its head, the commit open on it, what it is made from and what is made from it."""
    info = session.pfs.inspect_branch(branch)
    fields = [
        ("Name", str(info)),
        ("Head", info.head or "-"),
        ("Open commit", info.open_commit or ""),
        ("Created", human.age(info.created)),
        ("Trigger", str(info.trigger or "")),
        ("Provenance", ", ".join(info.provenance)),
        ("  in the end", ", ".join(info.transitive_provenance)),
        ("Subvenance", ", ".join(info.subvenance)),
        ("  in the end", ", ".join(info.transitive_subvenance)),
    ]
    print_fields(info, fields, as_json=as_json)


@command("pachy delete branch images@staging")
@click.argument("branch")
@click.option("-f", "--force", is_flag=True, help="Also when other branches are made from it or follow it.")
def delete(session: Session, *, branch: str, force: bool) -> None:
    """Delete a branch. Its commits stay, and can be named by id."""
    session.pfs.delete_branch(branch, force=force)


@command("pachy tick trigger", "pachy tick trigger --json")
@json_option
def tick(session: Session, *, as_json: bool) -> None:
    """Move the branches whose trigger has a schedule that has come, and show them.

    Airflow's asset watchers do so every minute; without them, run this from cron. Once more than needed does no harm.
    """
    columns: list[tuple[str, Callable[[BranchInfo], str]]] = [("REPO", lambda one: one.repo), *_columns()]
    print_list(session.pfs.tick_triggers(), columns, as_json=as_json)


def _columns() -> list[tuple[str, Callable[[BranchInfo], str]]]:
    return [
        ("BRANCH", lambda branch: branch.name),
        ("HEAD", lambda branch: branch.head or "-"),
        ("OPEN COMMIT", lambda branch: branch.open_commit or "-"),
        ("PROVENANCE", lambda branch: ", ".join(branch.provenance) or "-"),
        ("TRIGGER", lambda branch: str(branch.trigger or "")),
    ]
