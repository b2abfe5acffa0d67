"""`pachy list|glob|inspect|diff|get file`: everything that only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import after_option, command, json_option, limit_option
from airflow_pachy.cli.downloads import download_directory, download_file
from airflow_pachy.cli.output import print_fields, print_list
from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import Diff, FileInfo


@command(
    "pachy list file images@master",
    "pachy list file images@master:/2024",
    "pachy list file images@master:/2024 --limit 100 --after /2024/0099.png",
    "pachy list file images@master^2 --json",
)
@click.argument("address")
@json_option
@limit_option
@after_option("path")
@click.option("-r", "--recursive", is_flag=True, help="All files below the directory instead of its children.")
def list_(
    session: Session, *, address: str, as_json: bool, limit: int | None, after: str | None, recursive: bool
) -> None:
    """List a directory of a commit. A branch means the commit open on it, if there is one, else its head."""
    found: Iterator[FileInfo]
    if recursive:
        found = filter(_is_file, session.pfs.walk_file(address, after))
    else:
        found = session.pfs.list_file(address, after, limit)
    print_list(found, _COLUMNS, as_json=as_json, limit=limit)


@command(
    "pachy glob file 'images@master:/*.png'",
    "pachy glob file 'logs@master:/2024/**/errors.csv' --limit 20",
    "pachy glob file 'images@master:/{left,right}/*' --json",
)
@click.argument("address")
@json_option
@limit_option
@after_option("path")
def glob(session: Session, *, address: str, as_json: bool, limit: int | None, after: str | None) -> None:
    r"""List files and directories whose paths match a pattern.

    * stays within one directory level, ** crosses them, {a,b} is a choice, a backslash takes the next character
    literally. Quote the pattern, or the shell expands it.
    """
    commit, colon, pattern = address.partition(":")
    if not colon:
        raise click.UsageError(f"{address!r} has no pattern; write e.g. '{commit}:/*.png' (with quotes).")
    print_list(session.pfs.glob_file(commit, pattern, after, limit), _COLUMNS, as_json=as_json, limit=limit)


@command("pachy inspect file images@master:/photo.png", "pachy inspect file images@master:/2024 --json")
@click.argument("address")
@json_option
def inspect(session: Session, *, address: str, as_json: bool) -> None:
    """Show one file or directory: its size and content hash, and the datum that made it."""
    info = session.pfs.inspect_file(address)
    fields = [
        ("Path", info.path),
        ("Type", info.type),
        ("Size", human.size(info.size_bytes)),
        ("Files", f"{info.file_count:,}" if info.is_dir else ""),
        ("Hash", info.hash or ""),
        ("Executable", "yes" if info.executable else ""),
        ("Modified", human.age(info.modified) if info.modified else ""),
        ("Commit", info.commit),
        ("Datum", info.datum or ""),
    ]
    print_fields(info, fields, as_json=as_json)


@command(
    "pachy diff file images@master                           # against the commit before",
    "pachy diff file images@staging images@master",
    "pachy diff file labels@master:/2024 labels@master^5:/2024 --json",
)
@click.argument("new")
@click.argument("old", required=False)
@json_option
@limit_option
def diff(session: Session, *, new: str, old: str | None, as_json: bool, limit: int | None) -> None:
    """Show which files were added (+), removed (-) or changed (~) between two commits; the newer one comes first."""
    print_list(session.pfs.diff_file(new, old), _DIFF_COLUMNS, as_json=as_json, limit=limit)


@command(
    "pachy get file images@master:/photo.png -o photo.png",
    "pachy get file labels@master^3:/may.csv | head",
    "pachy get file images@master:/2024 -r -o photos/",
)
@click.argument("address")
@click.option("-o", "--output", metavar="PATH", help="Where to write; standard output without it.")
@click.option("-r", "--recursive", is_flag=True, help="Download a whole directory into the directory -o.")
def get(session: Session, *, address: str, output: str | None, recursive: bool) -> None:
    """Read a file, or download a directory with -r.

    A file appears under its name only when it is complete, and what arrives is checked against its content hash.
    """
    info = session.pfs.inspect_file(address)
    if not info.is_dir:
        download_file(session.pfs, address, info, output)
        return
    if not recursive or output in {None, "-"}:
        raise InvalidArgument(
            f"{address} is a directory; download it with -r and a directory to write to: "
            f"pachy get file {address} -r -o here/"
        )
    download_directory(session.pfs, address, info, output)


def _is_file(info: FileInfo) -> bool:
    return not info.is_dir


def _sign(diff: Diff) -> str:
    if diff.old is None:
        return "+"
    return "-" if diff.new is None else "~"


_COLUMNS: list[tuple[str, Callable[[FileInfo], str]]] = [
    ("NAME", lambda file: file.path),
    ("TYPE", lambda file: file.type),
    ("SIZE", lambda file: human.size(file.size_bytes)),
]
_DIFF_COLUMNS: list[tuple[str, Callable[[Diff], str]]] = [
    ("", _sign),
    ("NAME", lambda diff: diff.path),
    ("NEW SIZE", lambda diff: human.size(diff.new.size_bytes) if diff.new else "-"),
    ("OLD SIZE", lambda diff: human.size(diff.old.size_bytes) if diff.old else "-"),
]
