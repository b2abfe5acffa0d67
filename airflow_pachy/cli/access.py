"""`pachy auth get|set`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy.cli.command import command, json_option
from airflow_pachy.cli.output import print_fields, print_list

if TYPE_CHECKING:
    from airflow_pachy.cli.session import Session

_ROLES = ("NONE", "READER", "WRITER", "OWNER")


@command("pachy auth get images", "pachy auth get images --json")
@click.argument("repo")
@json_option
def get(session: Session, *, repo: str, as_json: bool) -> None:
    """Show who has which role on a repo. An empty list means that the repo is open to everyone."""
    roles = session.pfs.acl(repo)
    if as_json:
        print_fields(roles, [], as_json=True)
        return
    print_list(roles.items(), [("PRINCIPAL", lambda one: one[0]), ("ROLE", lambda one: one[1])], as_json=False)


@command(
    "pachy auth set images user:ada OWNER",
    "pachy auth set images group:lab reader",
    "pachy auth set images allUsers READER       # everyone may read, only those named may write",
    "pachy auth set images user:bob NONE         # take it away",
)
@click.argument("repo")
@click.argument("principal")
@click.argument("role", type=click.Choice(_ROLES, case_sensitive=False))
def set_(session: Session, *, repo: str, principal: str, role: str) -> None:
    """Give a principal a role on a repo, or take it away with NONE.

    READER reads, WRITER also writes, OWNER also grants and deletes the repo. The first grant on a repo closes it to
    everyone who has none. Principals are user:NAME, robot:NAME, group:NAME, dag:NAME, pipeline:NAME and allUsers.
    """
    session.pfs.grant(repo, principal, role)
