"""`pachy put file|header|footer` and `pachy copy|delete file`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from airflow_pachy.cli.command import command
from airflow_pachy.cli.labels import label_option
from airflow_pachy.cli.session import WRITING
from airflow_pachy.cli.sources import find_sources, read_bytes, read_list
from airflow_pachy.cli.uploads import How, put_sources, read_ahead
from airflow_pachy.errors import PathNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.cli.session import Session
    from airflow_pachy.pfs import Pfs, Split

_COUNT = click.IntRange(min=0)
_MUCH_BYTES = 64 << 20


def _split_options(function: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option(
            "--split",
            "delimiter",
            type=click.Choice(["line", "json", "csv", "sql"]),
            help="Cut each source into pieces below its path, at the ends of these records.",
        ),
        click.option("--target-file-datums", type=_COUNT, default=0, metavar="N", help="Records in a piece, at most."),
        click.option(
            "--target-file-bytes", type=_COUNT, default=0, metavar="N", help="A piece ends when it has so many bytes."
        ),
        click.option(
            "--header-records", type=_COUNT, default=0, metavar="N", help="The first N records come before every piece."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@command(
    "pachy put file images@master:/ -f photo.png",
    "pachy put file images@master:/2024/ -f a.png -f b.png     # both in one commit",
    "pachy put file images@master:/2024 -r -f photos/          # what is in photos/ goes below /2024",
    "pachy put file images@master:/2024 -r -f photos/ --read-all     # also files that seem unchanged",
    "pachy put file pages@master:/index.html -f https://example.com/",
    "pachy put file images@master:/raw -r -f s3://bucket/photos -p 16",
    "pachy put file images@master:/raw -r -f gs://bucket/photos --conn-id google_cloud_default",
    "date | pachy put file logs@master:/runs.txt -a -f -",
    "pachy put file images@master:/ -i sources.txt",
    "pachy put file users@master:/2024 -f users.csv --split csv --header-records 1 --target-file-datums 1000",
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
@click.option(
    "-i", "--input-file", metavar="LIST", help="A file that names sources, one per line; - for standard input."
)
@click.option("-r", "--recursive", is_flag=True, help="Put everything in a directory, or below a URL of a store.")
@click.option("-a", "--append", is_flag=True, help="Add to the end of files that exist instead of replacing them.")
@click.option(
    "-o", "--overwrite", is_flag=True, help="Replace files that exist: the default. With --split, all pieces there."
)
@click.option(
    "-c", "--commit", "own_commit", is_flag=True, help="In a commit of its own; fails if one is open on the branch."
)
@click.option("-d", "--description", default="", help="What changes, for people; with a commit of its own.")
@label_option("A label for a commit of its own; repeatable.")
@click.option(
    "-p",
    "--parallelism",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many files to read at a time.",
)
@click.option("--conn-id", metavar="ID", help="Take the credentials for URLs from this Airflow connection.")
@click.option(
    "--read-all", is_flag=True, help="Read every file of a directory, also those unchanged since it was last put."
)
@_split_options
def put(
    session: Session,
    *,
    address: str,
    files: tuple[str, ...],
    input_file: str | None,
    recursive: bool,
    append: bool,
    overwrite: bool,
    own_commit: bool,
    description: str,
    labels: dict[str, str],
    parallelism: int | None,
    conn_id: str | None,
    read_all: bool,
    delimiter: str | None,
    **numbers: int,
) -> None:
    """Put files into a branch.

    All sources of one call go into the open commit of the branch or, if there is none, become one commit
    together: all or nothing. One file goes to the path as given, or into it if it ends with a slash; several
    go below it; so does what is in a directory. URLs may be http://, https://, s3://, gs://, abfs://, file://,
    pfs://repo/branch/path, and whatever else fsspec reads.
    """
    if append and overwrite:
        raise click.UsageError("-a adds to files and -o replaces them; give one of them.")
    if read_all and not recursive:
        raise click.UsageError("--read-all means something only with -r: single files are always read.")
    split = _split(delimiter, overwrite=overwrite, recursive=recursive, append=append, **numbers)
    origins = [*files, *(read_list(input_file) if input_file else [])]
    if not origins:
        raise click.UsageError("nothing to put: name a file, directory, URL or - with -f, or a list of them with -i.")
    commit, _, path = address.partition(":")
    sources = find_sources(origins, path, recursive=recursive)
    options: dict[str, Any] = {}
    if conn_id is not None:
        from airflow_pachy.cli.session import read_source_options

        options = read_source_options(conn_id)
    own = own_commit or bool(description or labels)
    how = How(recursive, append, parallelism, options, split, own, description, labels, read_all)
    # What takes long by itself had better not go through pipes, however short.
    is_much = sum(source.size_bytes or 0 for source in sources) > _MUCH_BYTES
    if not is_much:
        session.begin()  # first: what opens the store takes longer to import than all else
    with read_ahead(sources, how) as how:
        put_sources(session.pfs if is_much else session.pfs_for(WRITING, commit), commit, sources, how)


def _split(delimiter: str | None, *, overwrite: bool, recursive: bool, append: bool, **numbers: int) -> Split | None:
    if delimiter is None:
        named = [name for name, number in numbers.items() if number]
        if named:
            raise click.UsageError(f"--{named[0].replace('_', '-')} means something only with --split.")
        return None
    if recursive or append:
        raise click.UsageError(
            "--split takes single files and puts their pieces behind those that are there: no -r, no -a."
        )
    from airflow_pachy.pfs import Split

    return Split(
        delimiter,
        numbers["target_file_datums"],
        numbers["target_file_bytes"],
        numbers["header_records"],
        overwrite=overwrite,
    )


def _frame_command(what: str, where: str) -> click.Command:
    @command(
        f"pachy put {what} users@master:/2024 'id,name'",
        f"pachy put {what} users@master:/2024 -f {what}.csv",
        f"pachy put {what} users@master:/2024 ''                 # no {what} any more",
    )
    @click.argument("address")
    @click.argument("text", required=False)
    @click.option("-f", "--file", metavar="FILE", help="Its bytes; - for standard input.")
    def put_frame(session: Session, *, address: str, text: str | None, file: str | None) -> None:
        if (text is None) == (file is None):
            raise click.UsageError(f"give the {what} as text or with -f.")
        data = read_bytes(file) if file is not None else f"{text}\n".encode() if text else b""
        getattr(session.pfs_for(WRITING), f"put_{what}")(address, data)

    put_frame.help = (
        f"Set the {what} of a directory of pieces (see put file --split): bytes {where} each piece in it or below.\n\n"
        "Text gets a line end; a file is taken as it is. Every piece becomes a new content, so its datums run again."
    )
    return put_frame


put_header = _frame_command("header", "before")
put_footer = _frame_command("footer", "behind")


@command(
    "pachy copy file images@master:/a.png images@master:/b.png",
    "pachy copy file images@staging:/2024 images@master:/2024",
    "pachy copy file images@master^3:/labels.csv images@master:/labels.csv      # bring back an old version",
)
@click.argument("source")
@click.argument("target")
@click.option("-a", "--append", is_flag=True, help="Merge into what is there instead of replacing it.")
@click.option("-o", "--overwrite", is_flag=True, help="Replace what is there: the default.")
def copy(session: Session, *, source: str, target: str, append: bool, overwrite: bool) -> None:
    """Copy a file or directory within or between repos. Contents are shared, not moved: it costs next to nothing."""
    if append and overwrite:
        raise click.UsageError("-a merges and -o replaces; give one of them.")
    session.pfs_for(WRITING).copy_file(source, target, append=append)


@command(
    "pachy delete file images@master:/photo.png",
    "pachy delete file images@master:/2024",
    "pachy delete file 'images@master:/*.tmp'",
)
@click.argument("address")
def delete(session: Session, *, address: str) -> None:
    """Delete a file, a directory, or whatever a pattern matches, in a new commit. Earlier commits keep them."""
    _require_something(session.pfs_for(WRITING), address)
    session.pfs_for(WRITING).delete_file(address)


def _require_something(pfs: Pfs, address: str) -> None:
    """Raise `PathNotFound` if nothing is at the path and nothing matches it: probably a slip of the pen."""
    try:
        pfs.inspect_file(address)
    except PathNotFound:
        commit, _, pattern = address.partition(":")
        if next(pfs.glob_file(commit, pattern, limit=1), None) is None:
            raise
