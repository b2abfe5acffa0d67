"""`pachy config show`, `pachy config check` and `pachy version`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from airflow_pachy import __version__
from airflow_pachy.cli.command import ExampleCommand, command, json_option
from airflow_pachy.cli.output import print_fields

if TYPE_CHECKING:
    from airflow_pachy.cli.session import Session


@command(
    "pachy config show",
    "pachy --airflow-conn pachy_default config show",
    "PACHY_STORAGE=s3://bucket/prefix pachy config show --json",
)
@json_option
def show(session: Session, *, as_json: bool) -> None:
    """Show where files and metadata are kept, and which setting says so. Connects to nothing."""
    from airflow_pachy.metadata.urls import parse_url, redacted
    from airflow_pachy.pfs.objects.s3_settings import SECRETS

    places = session.places
    metadata = redacted(parse_url(places.metadata.value))
    if as_json:
        document = {
            "version": __version__,
            "storage": {"url": places.storage.value, "source": places.storage.source},
            "metadata": {"url": metadata, "source": places.metadata.source},
            "s3": {name: "(set)" if name in SECRETS else value for name, value in places.s3.items()},
            "principal": places.principal,
        }
        print_fields(document, [], as_json=True)
        return
    fields = [
        ("Version", __version__),
        ("Storage", f"{places.storage.value}  ({places.storage.source})"),
        ("Metadata", f"{metadata}  ({places.metadata.source})"),
    ]
    if places.storage.value.startswith("s3://"):
        fields.append(("S3 endpoint", str(places.s3.get("endpoint_url") or "as boto3 finds it")))
        given = "from the settings" if "aws_access_key_id" in places.s3 else "as boto3 finds them"
        role = f", for the role {places.s3['role_arn']}" if places.s3.get("role_arn") else ""
        fields.append(("Credentials", given + role))
        others = places.s3.keys() - SECRETS - {"endpoint_url", "role_arn"}
        fields.append(("S3 settings", ", ".join(f"{name}={places.s3[name]}" for name in sorted(others))))
    fields.append(("Principal", places.principal or "none"))
    print_fields(None, fields, as_json=False)


@command("pachy config check", "pachy --airflow-conn pachy_default config check", "pachy --s3 sse=aws:kms config check")
def check(session: Session) -> None:
    """Try what is needed of the store and the database, and say what is lacking.

    A few small objects are written to the store, read, listed and deleted again. In the database nothing is changed.
    """
    from airflow_pachy.metadata import Metadata
    from airflow_pachy.metadata.version import HEAD_REVISION, stored_revision
    from airflow_pachy.pfs.objects import open_store, probe

    places = session.places
    with closing(open_store(places.storage.value, s3=places.s3)) as store:
        probe(store)
    click.echo(f"storage   {places.storage.value}: creates, replaces, reads, lists and deletes as it must")
    with closing(Metadata.open(places.metadata.value, pooled=False)) as database:
        with database.reader() as connected:
            revision = stored_revision(connected.connection())
        tables = "no tables yet, the first command makes them" if revision is None else f"tables of version {revision}"
        behind = "" if revision in {None, HEAD_REVISION} else ": run `pachy db upgrade`"
        click.echo(f"metadata  {database.url}: answers, {tables}{behind}")


@click.command(cls=ExampleCommand, examples=["pachy version"])
def version() -> None:
    """Show the version of this package."""
    click.echo(__version__)
