"""`pachy start|finish|update|list|inspect|wait|flush|subscribe|drop|squash|forget|delete commit`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import after_option, command, json_option, limit_option
from airflow_pachy.cli.labels import changes, label_option, shown, unlabel_option
from airflow_pachy.cli.output import print_fields, print_list
from airflow_pachy.cli.pipelines import spec_options
from airflow_pachy.errors import JobFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import CommitInfo


@command(
    "pachy start commit images@master",
    'pachy start commit images@master --description "cleaned labels"',
    "pachy start commit images@experiment --parent master^2",
    "pachy start commit images@master --label source=camera-2",
    "pachy start commit edges@master --provenance images@master^",
)
@click.argument("branch")
@click.option("--parent", metavar="COMMIT", help="Begin from this commit instead of the branch's head.")
@click.option("-d", "--description", default="", help="What changes, for people.")
@click.option(
    "-p",
    "--provenance",
    multiple=True,
    metavar="COMMIT",
    help="A commit it is made from, instead of the heads of the branches that its branch is made from; repeatable.",
)
@label_option("A label for it; repeatable.")
def start(
    session: Session,
    *,
    branch: str,
    parent: str | None,
    description: str,
    provenance: tuple[str, ...],
    labels: dict[str, str],
) -> None:
    """Start a commit on a branch and print its id.

    It stays open until `pachy finish commit`; until then puts and deletes on the branch go into it, and others see
    the head of before. A single `pachy put file` needs none of this: it is a commit of its own.
    """
    repo = branch.partition("@")[0]
    origin = f"{repo}@{parent}" if parent is not None and "@" not in parent else parent
    started = session.pfs.start_commit(
        branch, parent=origin, description=description, provenance=list(provenance) or None, labels=labels
    )
    click.echo(started.id)


@command("pachy finish commit images@master", 'pachy finish commit images@master --description "labels of May"')
@click.argument("commit")
@click.option("-d", "--description", help="Replaces the description given at the start.")
@click.option("--empty", is_flag=True, help="Publish it with no files, whatever was put or inherited.")
@click.option("--error", metavar="REASON", help="Close it beside its branch, which stays, because of this.")
@label_option("One more label for it; repeatable.")
def finish(
    session: Session, *, commit: str, description: str | None, empty: bool, error: str | None, labels: dict[str, str]
) -> None:
    """Finish the open commit of a branch: its files become the branch's head, and whoever waits for it starts."""
    session.pfs.finish_commit(commit, description=description, empty=empty, error=error, labels=labels)


@command(
    'pachy update commit images@master --description "labels of May"',
    "pachy update commit images@v1.2 --label checked=yes --unlabel todo",
)
@click.argument("commit")
@click.option("-d", "--description", help="The new description.")
@label_option("A label to set; repeatable.")
@unlabel_option
def update(
    session: Session, *, commit: str, description: str | None, labels: dict[str, str], unlabel: tuple[str, ...]
) -> None:
    """Change what is said of a commit: its description and labels. Its files never change."""
    if description is None and not labels and not unlabel:
        raise click.UsageError("Nothing to change: give --description, --label or --unlabel.")
    session.pfs.update_commit(commit, description, labels=changes(labels, unlabel))


@command(
    "pachy list commit images@master",
    "pachy list commit images@master --limit 10 --json",
    "pachy list commit images@master --limit 10 --after 0d2c9e4ab8c64b6f8a3bb1d6f3a7c5e1",
    "pachy list commit images@master --label checked=yes",
    "pachy list commit montage@master --provenance          # everything this commit was made from",
    "pachy list commit images@master --subvenance           # everything made from it",
)
@click.argument("commit")
@json_option
@limit_option
@after_option("commit")
@click.option("-r", "--reverse", is_flag=True, help="The oldest first.")
@click.option("--origin", type=click.Choice(["user", "auto"]), help="Only commits made by users, or by jobs.")
@label_option("Only commits with this label; repeatable.")
@click.option(
    "--provenance", "line", flag_value="provenance", help="Instead: the commits it was made from, in all repos."
)
@click.option("--subvenance", "line", flag_value="subvenance", help="Instead: the commits made from it, in all repos.")
def list_(
    session: Session,
    *,
    commit: str,
    as_json: bool,
    limit: int | None,
    after: str | None,
    reverse: bool,
    origin: str | None,
    labels: dict[str, str],
    line: str | None,
) -> None:
    """List the history of a branch or commit, the newest first."""
    found: Iterable[CommitInfo]
    if line is None:
        found = session.pfs.list_commits(
            commit, after=after, limit=limit, reverse=reverse, origin=origin, labels=labels
        )
    elif after or reverse or origin or labels:
        raise click.UsageError(
            f"--{line} takes no --after, --reverse, --origin or --label: it lists across repos, oldest first."
        )
    else:
        found = getattr(session.pfs, line)(commit)
    print_list(found, _columns(), as_json=as_json, limit=limit)


@command("pachy inspect commit images@master", "pachy inspect commit edges@master --json")
@click.argument("commit")
@json_option
def inspect(session: Session, *, commit: str, as_json: bool) -> None:
    """Show one commit: state, size, parent, and the commits it was made from."""
    info = session.pfs.inspect_commit(commit)
    fields = [
        ("Commit", str(info)),
        ("Branch", info.branch),
        ("Description", info.description),
        ("Tags", ", ".join(info.tags)),
        ("Labels", shown(info.labels)),
        ("State", info.state),
        ("Error", info.error or ""),
        ("Parent", info.parent or ""),
        ("Children", ", ".join(info.children)),
        ("Started", human.age(info.started)),
        ("Finished", human.age(info.finished) if info.finished else ""),
        ("Files", f"{info.file_count:,}"),
        ("Size", human.size(info.size_bytes)),
        ("Forgotten", _forgotten(info)),
        ("Origin", info.origin),
        ("Author", info.author or ""),
        ("Job", info.job or ""),
        ("Provenance", ", ".join(info.provenance)),
    ]
    print_fields(info, fields, as_json=as_json)


@command("pachy wait commit edges@master", "pachy wait commit images@0d2c9e4ab8c64b6f8a3bb1d6f3a7c5e1 --timeout 600")
@click.argument("commit")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after so long.")
@json_option
def wait(session: Session, *, commit: str, timeout: float | None, as_json: bool) -> None:
    """Wait until a commit is finished and show it. The exit code is 1 if it ended with an error, or not in time."""
    info = session.pfs.wait_commit(commit, timeout=timeout)
    print_list([info], _columns(), as_json=as_json)
    if info.state == "error":
        raise JobFailed(f"commit {info} ended with an error: {info.error}. See `pachy inspect commit {info}`.")


@command(
    "pachy flush commit images@master",
    "pachy flush commit images@master labels@master --to-repo montage --timeout 3600",
    "pachy flush commit images@master -f pipelines/      # also what these will make in their first runs",
    "pachy flush commit images@master --expect montage   # of a pipeline that has never run",
)
@click.argument("commits", nargs=-1, required=True, metavar="COMMIT...")
@click.option("-r", "--to-repo", multiple=True, metavar="REPO", help="Wait only for what ends up there; repeatable.")
@click.option(
    "--expect",
    multiple=True,
    metavar="REPO[@BRANCH]",
    help="Wait for this one too, also if nothing is known yet to make it from them; repeatable.",
)
@spec_options(required=False)
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after so long.")
@json_option
def flush(
    session: Session,
    *,
    commits: tuple[str, ...],
    to_repo: tuple[str, ...],
    expect: tuple[str, ...],
    files: Sequence[str],
    args: Sequence[str],
    defaults: Sequence[str],
    timeout: float | None,
    as_json: bool,
) -> None:
    """Wait until everything downstream has been made from these commits, and show what was made.

    A pipeline of a DAG file is known to be downstream when it has run once; until then give its spec, or the DAG file,
    with -f, or name its output with --expect. The exit code is 1 when a job on the way failed, or not everything was
    there in time.
    """
    if files:
        from airflow_pachy.cli.expected import expected_outputs, read_readers

        expect = (*expect, *expected_outputs(session.pfs, commits, read_readers(files, args, defaults), to_repo))
    made = session.pfs.flush_commit(list(commits), to_repos=list(to_repo) or None, timeout=timeout, expect=expect)
    if not made:
        click.echo(
            "No pipeline is known to read these commits, so nothing was waited for. A pipeline of a DAG file is known "
            "when it has run once; to wait for its first run, give its spec (-f pipelines/) or name its output: "
            "--expect REPO",
            err=True,
        )
    print_list(made, _columns(), as_json=as_json)


@command(
    "pachy subscribe commit images@master",
    "pachy subscribe commit images@master --new --limit 1 --json",
    "pachy subscribe commit images@master --start 0d2c9e4ab8c64b6f8a3bb1d6f3a7c5e1",
)
@click.argument("branch")
@click.option("--start", metavar="COMMIT", help="Begin behind this commit.")
@click.option("--new", is_flag=True, help="Only commits finished from now on.")
@click.option(
    "--state",
    type=click.Choice(["finished", "open"]),
    default="finished",
    help="Show a commit when it is finished, or already when it is opened.",
)
@json_option
@limit_option
def subscribe(
    session: Session, *, branch: str, start: str | None, new: bool, state: str, as_json: bool, limit: int | None
) -> None:
    """Print the finished commits of a branch, the oldest first, then each new one as it appears, until interrupted."""
    if new:
        start = session.pfs.inspect_branch(branch).head
    commits = session.pfs.subscribe_commit(branch, start=start, state=state)
    # One page for each commit: whoever reads this wants it now, not when a page is full.
    for number, commit in enumerate(islice(commits, limit)):
        print_list([commit], _columns(), as_json=as_json, headings=number == 0)


@command("pachy drop commit images@master", "pachy drop commit images@master --recursive")
@click.argument("commit")
@click.option("--recursive", is_flag=True, help="Also what was made from it.")
def drop(session: Session, *, commit: str, recursive: bool) -> None:
    """Undo a commit that nothing follows: a branch whose head it is falls back to the commit before.

    An open commit is given up this way.
    """
    session.pfs.drop_commit(commit, recursive=recursive)


@command("pachy squash commit images@master^", "pachy squash commit images@master^ --recursive")
@click.argument("commit")
@click.option("--recursive", is_flag=True, help="Also what was made from it.")
def squash(session: Session, *, commit: str, recursive: bool) -> None:
    """Remove a commit in the middle of a history: the commits after it keep their files."""
    session.pfs.squash_commit(commit, recursive=recursive)


@command("pachy forget commit images@master^10")
@click.argument("commit")
def forget(session: Session, *, commit: str) -> None:
    """Give up the files of an old commit for good; what is known of it stays: sizes, author, provenance, labels.

    Not for the head of a branch, a tagged commit, or one that a job is reading. Garbage collection frees the space.
    """
    session.pfs.forget_commit(commit)


@command("pachy delete commit images@0d2c9e4ab8c64b6f8a3bb1d6f3a7c5e1")
@click.argument("commit")
def delete(session: Session, *, commit: str) -> None:
    """Remove a commit wherever it stands, together with everything that was made from it.

    The commits after it in its own history keep their files.
    """
    session.pfs.delete_commit(commit)


def _forgotten(info: CommitInfo) -> str:
    if info.forgotten is None:
        return ""
    return human.age(info.forgotten) + (f" by {info.forgotten_by}" if info.forgotten_by else "")


def _columns() -> list[tuple[str, Callable[[CommitInfo], str]]]:
    return [
        ("REPO", lambda commit: commit.repo),
        ("BRANCH", lambda commit: commit.branch),
        ("COMMIT", lambda commit: commit.id),
        ("FINISHED", lambda commit: human.age(commit.finished)),
        ("SIZE", lambda commit: human.size(commit.size_bytes)),
        ("FILES", lambda commit: str(commit.file_count)),
        ("ORIGIN", lambda commit: commit.origin),
        ("STATE", lambda commit: commit.state),
        ("TAGS", lambda commit: ", ".join(commit.tags) or "-"),
        ("DESCRIPTION", lambda commit: commit.description),
    ]
