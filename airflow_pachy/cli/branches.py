"""`pachy create|list|inspect|delete branch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import command, json_option, limit_option
from airflow_pachy.cli.output import print_fields, print_list

if TYPE_CHECKING:
    from airflow_pachy.cli.session import Session


@command(
    "pachy create branch images@staging",
    "pachy create branch images@master --head staging        # release what is on staging",
    "pachy create branch images@master --head master^        # roll back by one commit",
    "pachy create branch edges@master --provenance images@master",
)
@click.argument("branch")
@click.option("--head", metavar="COMMIT", help="What to point at: a branch or a commit id, with ^2 or .1 behind it.")
@click.option("-p", "--provenance", multiple=True, metavar="REPO@BRANCH", help="A branch it is made from; repeatable.")
def create(session: Session, *, branch: str, head: str | None, provenance: tuple[str, ...]) -> None:
    """Create a branch, or point an existing one at another commit (that is how to roll back)."""
    repo = branch.partition("@")[0]
    target = f"{repo}@{head}" if head is not None and "@" not in head else head
    session.pfs.create_branch(branch, head=target, provenance=list(provenance) or None)


@command("pachy list branch images", "pachy list branch images --json")
@click.argument("repo")
@json_option
@limit_option
def list_(session: Session, *, repo: str, as_json: bool, limit: int | None) -> None:
    """List the branches of a repo with their head commits."""
    print_list(
        session.pfs.list_branches(repo),
        [
            ("BRANCH", lambda branch: branch.name),
            ("HEAD", lambda branch: branch.head or "-"),
            ("OPEN COMMIT", lambda branch: branch.open_commit or "-"),
            ("PROVENANCE", lambda branch: ", ".join(branch.provenance)),
        ],
        as_json=as_json,
        limit=limit,
    )


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
        ("Provenance", ", ".join(info.provenance)),
        ("Subvenance", ", ".join(info.subvenance)),
    ]
    print_fields(info, fields, as_json=as_json)


@command("pachy delete branch images@staging")
@click.argument("branch")
@click.option("-f", "--force", is_flag=True, help="Also when other branches are made from it.")
def delete(session: Session, *, branch: str, force: bool) -> None:
    """Delete a branch. Its commits stay, and can be named by id."""
    session.pfs.delete_branch(branch, force=force)
