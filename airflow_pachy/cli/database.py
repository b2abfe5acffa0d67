"""`pachy db upgrade`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy.cli.command import command

if TYPE_CHECKING:
    from airflow_pachy.cli.session import Session


@command("pachy db upgrade", "pachy --metadata postgresql://pachy@db.example.com/pachy db upgrade")
def upgrade(session: Session) -> None:
    """Create the tables of the metadata database, or bring them to this version.

    A new database needs no command: the first use makes its tables. Run this after installing a new version.
    """
    from airflow_pachy.metadata import Metadata

    url = session.places.metadata.value
    metadata = Metadata.open(url)
    try:
        metadata.upgrade()
        click.echo(f"The tables in {metadata.url} are of this version.")
    finally:
        metadata.close()
