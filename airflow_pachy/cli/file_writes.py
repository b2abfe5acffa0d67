"""`pachy put|copy|delete file`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy.cli.command import command
from airflow_pachy.cli.sources import find_sources, read_list
from airflow_pachy.cli.uploads import put_sources
from airflow_pachy.errors import PathNotFound

if TYPE_CHECKING:
    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import Pfs


@command(
    "pachy put file images@master:/ -f photo.png",
    "pachy put file images@master:/2024/ -f a.png -f b.png     # both in one commit",
    "pachy put file images@master:/2024 -r -f photos/          # what is in photos/ goes below /2024",
    "pachy put file pages@master:/index.html -f https://example.com/",
    "pachy put file images@master:/raw -r -f s3://bucket/photos",
    "date | pachy put file logs@master:/runs.txt -a -f -",
    "pachy put file images@master:/ -i sources.txt",
)
@click.argument("address")
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="SOURCE",
    help="A file, directory, URL, or - for standard input; repeatable.",
)
@click.option("-i", "--input-file", metavar="LIST", help="A file that names sources, one per line.")
@click.option("-r", "--recursive", is_flag=True, help="Put everything in a directory, or below an s3:// prefix.")
@click.option("-a", "--append", is_flag=True, help="Add to the end of files that exist instead of replacing them.")
def put(
    session: Session, *, address: str, files: tuple[str, ...], input_file: str | None, recursive: bool, append: bool
) -> None:
    """Put files into a branch.

    All sources of one call go into the open commit of the branch or, if there is none, become one commit
    together: all or nothing. One file goes to the path as given, or into it if it ends with a slash; several
    go below it; so does what is in a directory. URLs may be http://, https://, s3:// and file://.
    """
    origins = [*files, *(read_list(input_file) if input_file else [])]
    if not origins:
        raise click.UsageError("nothing to put: name a file, directory, URL or - with -f, or a list of them with -i.")
    commit, _, path = address.partition(":")
    sources = find_sources(origins, path, recursive=recursive)
    put_sources(session.pfs, commit, sources, recursive=recursive, append=append)


@command(
    "pachy copy file images@master:/a.png images@master:/b.png",
    "pachy copy file images@staging:/2024 images@master:/2024",
    "pachy copy file images@master^3:/labels.csv images@master:/labels.csv      # bring back an old version",
)
@click.argument("source")
@click.argument("target")
@click.option("-a", "--append", is_flag=True, help="Merge into what is there instead of replacing it.")
def copy(session: Session, *, source: str, target: str, append: bool) -> None:
    """Copy a file or directory within or between repos. Contents are shared, not moved: it costs next to nothing."""
    session.pfs.copy_file(source, target, append=append)


@command(
    "pachy delete file images@master:/photo.png",
    "pachy delete file images@master:/2024",
    "pachy delete file 'images@master:/*.tmp'",
)
@click.argument("address")
def delete(session: Session, *, address: str) -> None:
    """Delete a file, a directory, or whatever a pattern matches, in a new commit. Earlier commits keep them."""
    _require_something(session.pfs, address)
    session.pfs.delete_file(address)


def _require_something(pfs: Pfs, address: str) -> None:
    """Raise `PathNotFound` if nothing is at the path and nothing matches it: probably a slip of the pen."""
    try:
        pfs.inspect_file(address)
    except PathNotFound:
        commit, _, pattern = address.partition(":")
        if next(pfs.glob_file(commit, pattern, limit=1), None) is None:
            raise
