"""`pachy create|list|delete tag`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import command, json_option, limit_option
from airflow_pachy.cli.output import print_list

if TYPE_CHECKING:
    from airflow_pachy.cli.session import Session


@command("pachy create tag images@master v1.2", "pachy create tag images@master^3 before-the-move")
@click.argument("commit")
@click.argument("name")
def create_tag(session: Session, *, commit: str, name: str) -> None:
    """Name a finished commit for good.

    From then on images@v1.2 means it, wherever a commit is asked for; the name does not move, and the commit is
    not removed while it has one.
    """
    session.pfs.tag_commit(commit, name)


@command("pachy list tag images", "pachy list tag images --json")
@click.argument("repo")
@json_option
@limit_option
def list_tags(session: Session, *, repo: str, as_json: bool, limit: int | None) -> None:
    """List the tags of a repo by name."""
    print_list(
        session.pfs.list_tags(repo),
        [
            ("TAG", lambda tag: tag.name),
            ("COMMIT", lambda tag: tag.commit.partition("@")[2]),
            ("CREATED", lambda tag: human.age(tag.created)),
            ("AUTHOR", lambda tag: tag.author or ""),
        ],
        as_json=as_json,
        limit=limit,
    )


@command("pachy delete tag images@v1.2")
@click.argument("tag")
def delete_tag(session: Session, *, tag: str) -> None:
    """Take a name away from its commit, which stays."""
    session.pfs.delete_tag(tag)
