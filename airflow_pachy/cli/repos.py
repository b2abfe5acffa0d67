"""`pachy create|update|list|inspect|delete repo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import after_option, command, json_option, limit_option
from airflow_pachy.cli.labels import changes, label_option, shown, unlabel_option
from airflow_pachy.cli.output import print_fields, print_list

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import RepoInfo


@command(
    "pachy create repo images",
    'pachy create repo images --description "photos of the north camera"',
    "pachy create repo images --label team=vision",
)
@click.argument("repo")
@click.option("-d", "--description", default="", help="What it holds, for people.")
@label_option("A label for it; repeatable.")
def create(session: Session, *, repo: str, description: str, labels: dict[str, str]) -> None:
    """Create an empty repo. Names are made of letters, digits, _ and -."""
    session.pfs.create_repo(repo, description=description, labels=labels)


@command(
    'pachy update repo images --description "photos of both cameras"',
    "pachy update repo images --label team=vision --unlabel todo",
)
@click.argument("repo")
@click.option("-d", "--description", help="The new description.")
@label_option("A label to set; repeatable.")
@unlabel_option
def update(
    session: Session, *, repo: str, description: str | None, labels: dict[str, str], unlabel: tuple[str, ...]
) -> None:
    """Change what is said of a repo: its description and labels."""
    if description is None and not labels and not unlabel:
        raise click.UsageError("Nothing to change: give --description, --label or --unlabel.")
    session.pfs.update_repo(repo, description, labels=changes(labels, unlabel))


@command("pachy list repo", "pachy list repo --json", "pachy list repo --label team=vision")
@json_option
@limit_option
@after_option("repo")
@label_option("Only repos with this label; repeatable.")
def list_(session: Session, *, as_json: bool, limit: int | None, after: str | None, labels: dict[str, str]) -> None:
    """List repos by name, with the size of what their master branch holds and, for a principal, what it may do."""
    access: list[tuple[str, Callable[[RepoInfo], str]]] = [("ACCESS", lambda repo: repo.access)]
    print_list(
        session.pfs.list_repos(after=after, limit=limit, labels=labels),
        [
            ("NAME", lambda repo: repo.name),
            ("CREATED", lambda repo: human.age(repo.created)),
            ("SIZE (MASTER)", lambda repo: human.size(repo.size_bytes)),
            *(access if session.pfs.principal else ()),
            ("DESCRIPTION", lambda repo: repo.description),
        ],
        as_json=as_json,
        limit=limit,
    )


@command("pachy inspect repo images", "pachy inspect repo images --json")
@click.argument("repo")
@json_option
def inspect(session: Session, *, repo: str, as_json: bool) -> None:
    """Show one repo: its description, branches and size."""
    info = session.pfs.inspect_repo(repo)
    fields = [
        ("Name", info.name),
        ("Description", info.description),
        ("Labels", shown(info.labels)),
        ("Created", human.age(info.created)),
        ("Author", info.author or ""),
        ("Your access", info.access if session.pfs.principal else ""),
        ("Size of master", human.size(info.size_bytes)),
        ("Branches", ", ".join(info.branches)),
    ]
    print_fields(info, fields, as_json=as_json)


@command("pachy delete repo images", "pachy delete repo images --force")
@click.argument("repo")
@click.option("-f", "--force", is_flag=True, help="Also when branches of other repos are made from it.")
def delete(session: Session, *, repo: str, force: bool) -> None:
    """Delete a repo with its branches and commits.

    The bytes stay in the bucket until garbage collection.
    """
    session.pfs.delete_repo(repo, force=force)
