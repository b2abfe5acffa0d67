"""`pachy list|glob|inspect|diff|get file`: everything that only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import after_option, command, json_option, limit_option
from airflow_pachy.cli.downloads import (
    Part,
    download_directory,
    download_file,
    download_matches,
    is_pattern,
    open_with_writer,
)
from airflow_pachy.cli.output import print_fields, print_json, print_list
from airflow_pachy.cli.session import READING
from airflow_pachy.errors import InvalidArgument, PathNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import Diff, DiffSummary, FileInfo, Pfs


_reverse_option = click.option("--reverse", is_flag=True, help="From the end; --after then goes on before that path.")


@command(
    "pachy list file images@master",
    "pachy list file images@master:/2024",
    "pachy list file images@master:/2024 --limit 100 --after /2024/0099.png",
    "pachy list file images@master^2 --json",
    "pachy list file images@master:/photo.png --history       # the commits that changed it",
)
@click.argument("address")
@json_option
@limit_option
@after_option("path")
@click.option("-r", "--recursive", is_flag=True, help="All files below the directory instead of its children.")
@_reverse_option
@click.option("--history", is_flag=True, help="Instead: the versions of this file or directory, newest first.")
def list_(
    session: Session,
    *,
    address: str,
    as_json: bool,
    limit: int | None,
    after: str | None,
    recursive: bool,
    reverse: bool,
    history: bool,
) -> None:
    """List a directory of a commit. A branch means the commit open on it, if there is one, else its head."""
    found: Iterator[FileInfo]
    if history:
        if after or recursive or reverse:
            raise click.UsageError("--history goes from the newest version on: it takes --limit only.")
        print_list(_pfs(session, address).file_history(address, limit), _HISTORY_COLUMNS, as_json=as_json)
        return
    if recursive:
        found = _pfs(session, address).walk_file(address, after, reverse=reverse, directories=False)
    else:
        found = _pfs(session, address).list_file(address, after, limit, reverse)
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
@_reverse_option
def glob(session: Session, *, address: str, as_json: bool, limit: int | None, after: str | None, reverse: bool) -> None:
    r"""List files and directories whose paths match a pattern.

    * stays within one directory level, ** crosses them, {a,b} and (a|b) are choices, !(a) is anything else, a backslash
    takes the next character literally; docs/globs.md has the rest. Quote the pattern, or the shell expands it.
    """
    commit, colon, pattern = address.partition(":")
    if not colon:
        raise click.UsageError(f"{address!r} has no pattern; write e.g. '{commit}:/*.png' (with quotes).")
    found = _pfs(session, address).glob_file(commit, pattern, after, limit, reverse=reverse)
    print_list(found, _COLUMNS, as_json=as_json, limit=limit)


@command("pachy inspect file images@master:/photo.png", "pachy inspect file images@master:/2024 --json")
@click.argument("address")
@json_option
def inspect(session: Session, *, address: str, as_json: bool) -> None:
    """Show one file or directory: its size and content hash, and the datum that made it."""
    info = _pfs(session, address).inspect_file(address)
    header, footer = _frame_sizes(session, address) if info.is_dir and not as_json else ("", "")
    fields = [
        ("Path", info.path),
        ("Type", info.type),
        ("Size", human.size(info.size_bytes)),
        ("Files", f"{info.file_count:,}" if info.is_dir else ""),
        ("Header", header),
        ("Footer", footer),
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
    "pachy diff file images@master images@v1 --stat           # in numbers",
)
@click.argument("new")
@click.argument("old", required=False)
@json_option
@limit_option
@click.option("--stat", is_flag=True, help="Only how many files and bytes.")
def diff(session: Session, *, new: str, old: str | None, as_json: bool, limit: int | None, stat: bool) -> None:
    """Show which files were added (+), removed (-) or changed (~) between two commits; the newer one comes first."""
    if stat:
        if limit is not None:
            raise click.UsageError("--stat counts all differences: it takes no --limit.")
        _print_summary(_pfs(session, new).diff_summary(new, old), as_json=as_json)
        return
    print_list(_pfs(session, new).diff_file(new, old), _DIFF_COLUMNS, as_json=as_json, limit=limit)


@command(
    "pachy get file images@master:/photo.png -o photo.png",
    "pachy get file labels@master^3:/may.csv | head",
    "pachy get file images@master:/2024 -r -o photos/",
    "pachy get file 'users@master:/2024/*' | head             # joined in order of their paths",
    "pachy get file 'images@master:/2024/*.png' -o photos/     # into a directory",
    "pachy get file logs@master:/huge.log --offset 1000000 --length 80",
)
@click.argument("address")
@click.option("-o", "--output", metavar="PATH", help="Where to write; standard output without it.")
@click.option("-r", "--recursive", is_flag=True, help="Download a whole directory into the directory -o.")
@click.option("--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first N bytes.")
@click.option("--length", type=click.IntRange(min=0), metavar="N", help="At most N bytes.")
def get(
    session: Session, *, address: str, output: str | None, recursive: bool, offset: int, length: int | None
) -> None:
    """Read a file, or all that a pattern matches, or download a directory with -r.

    What arrives is checked against its content hash. A single file appears under its name only when it is complete;
    a directory that was interrupted may hold a part of a file: download it again, which replaces all.
    Of what a pattern matches, -o DIR/ makes files, while -o FILE joins them.
    """
    part = Part(offset, length)
    if recursive and output not in {None, "-"} and not part:
        open_with_writer(session, address.partition(":")[0])
    _get(session, address, output, part, recursive=recursive)


def _get(session: Session, address: str, output: str | None, part: Part, *, recursive: bool) -> None:
    try:
        info = _pfs(session, address).inspect_file(address)
    except PathNotFound:
        if not is_pattern(address):
            raise
        if part:
            raise click.UsageError("--offset and --length are for a single file.") from None
        download_matches(_pfs(session, address), address, output, recursive=recursive)
        return
    if not info.is_dir:
        download_file(_pfs(session, address), address, info, output, part)
        return
    if part:
        raise InvalidArgument(f"{address} is a directory; --offset and --length are for a single file")
    if not recursive or output in {None, "-"}:
        raise InvalidArgument(
            f"{address} is a directory; download it with -r and a directory to write to: "
            f"pachy get file {address} -r -o here/"
        )
    download_directory(_pfs(session, address), address, info, output)


def _pfs(session: Session, address: str) -> Pfs:
    return session.pfs_for(READING, address.partition(":")[0])


def _frame_sizes(session: Session, address: str) -> tuple[str, str]:
    sizes = [len(_pfs(session, address).get_header(address)), len(_pfs(session, address).get_footer(address))]
    return (human.size(sizes[0]) if sizes[0] else "", human.size(sizes[1]) if sizes[1] else "")


def _print_summary(summary: DiffSummary, *, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    sign = "-" if summary.changed_bytes < 0 else "+"
    rows = [
        ("added", summary.added, f"+{human.size(summary.added_bytes)}"),
        ("removed", summary.removed, f"-{human.size(summary.removed_bytes)}"),
        ("changed", summary.changed, f"{sign}{human.size(abs(summary.changed_bytes))}"),
    ]
    columns: list[tuple[str, Callable[[tuple[str, int, str]], str]]] = [
        ("", lambda row: row[0]),
        ("FILES", lambda row: f"{row[1]:,}"),
        ("SIZE", lambda row: row[2]),
    ]
    print_list(rows, columns, as_json=False)


def _sign(diff: Diff) -> str:
    if diff.old is None:
        return "+"
    return "-" if diff.new is None else "~"


_COLUMNS: list[tuple[str, Callable[[FileInfo], str]]] = [
    ("NAME", lambda file: file.path),
    ("TYPE", lambda file: file.type),
    ("SIZE", lambda file: human.size(file.size_bytes)),
]
_HISTORY_COLUMNS: list[tuple[str, Callable[[FileInfo], str]]] = [
    ("COMMIT", lambda file: file.commit.partition("@")[2]),
    ("TYPE", lambda file: file.type),
    ("SIZE", lambda file: human.size(file.size_bytes)),
    ("MODIFIED", lambda file: human.age(file.modified)),
]
_DIFF_COLUMNS: list[tuple[str, Callable[[Diff], str]]] = [
    ("", _sign),
    ("NAME", lambda diff: diff.path),
    ("NEW SIZE", lambda diff: human.size(diff.new.size_bytes) if diff.new else "-"),
    ("OLD SIZE", lambda diff: human.size(diff.old.size_bytes) if diff.old else "-"),
]
