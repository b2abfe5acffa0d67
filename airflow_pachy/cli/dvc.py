"""`pachy export dvc`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy.cli import human
from airflow_pachy.cli.command import command, json_option
from airflow_pachy.cli.output import print_fields
from airflow_pachy.cli.progress import is_shown, transfer_progress

if TYPE_CHECKING:
    from airflow_pachy.cli.session import Session


@command(
    "pachy export dvc images@master:/2024 data                      # to the project's default remote",
    "pachy export dvc images@v1.0:/2024 data --remote archive",
    "pachy export dvc images@master:/ pets --remote-url s3://bucket/dvc",
    "pachy export dvc models@master:/best.onnx . --name model.onnx",
)
@click.argument("address")
@click.argument("directory", type=click.Path(file_okay=False))
@click.option("--remote", metavar="NAME", help="A remote of the DVC project, if not its default one.")
@click.option(
    "--remote-url", metavar="URL", help="Where the remote is; it is added to the project if it has none there."
)
@click.option("--name", help="What the data is called in the project; by default the last part of the path.")
@click.option("--jobs", type=click.IntRange(1, 64), default=8, show_default=True, help="Files sent at a time.")
@json_option
def export(
    session: Session,
    *,
    address: str,
    directory: str,
    remote: str | None,
    remote_url: str | None,
    name: str | None,
    jobs: int,
    as_json: bool,
) -> None:
    """Export a file or directory to a DVC project: a .dvc file in DIRECTORY, and the bytes in a DVC remote.

    After that, `dvc pull` in DIRECTORY gets the data as for any other. Only what the remote lacks is sent. With
    --remote-url a DIRECTORY outside of any DVC project becomes one.
    """
    total = session.pfs.inspect_file(address).size if is_shown() else None
    with transfer_progress(address, total) as progress:
        done = session.pfs.export_dvc(
            address, directory, remote=remote, remote_url=remote_url, name=name, jobs=jobs, progress=progress
        )
    fields = [
        ("DVC file", str(done.dvc_file)),
        ("MD5", done.md5),
        ("Remote", done.remote),
        ("Files", f"{done.file_count}, {human.size(done.size_bytes)}"),
        ("Sent", f"{done.sent_files}, {human.size(done.sent_bytes)}"),
    ]
    print_fields(done, fields, as_json=as_json)
