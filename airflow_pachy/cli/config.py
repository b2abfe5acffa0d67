"""`pachy config show` and `pachy version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airflow_pachy import __version__
from airflow_pachy.cli.command import ExampleCommand, command, json_option
from airflow_pachy.cli.output import print_fields

if TYPE_CHECKING:
    from airflow_pachy.cli.session import Session

# Never the values of these: they are credentials.
_SECRET = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"}


@command(
    "pachy config show",
    "pachy --airflow-conn pachy_default config show",
    "PACHY_STORAGE=s3://bucket/prefix pachy config show --json",
)
@json_option
def show(session: Session, *, as_json: bool) -> None:
    """Show where files and metadata are kept, and which setting says so. Connects to nothing."""
    from airflow_pachy.metadata.urls import parse_url, redacted

    places = session.places
    metadata = redacted(parse_url(places.metadata.value))
    if as_json:
        document = {
            "version": __version__,
            "storage": {"url": places.storage.value, "source": places.storage.source},
            "metadata": {"url": metadata, "source": places.metadata.source},
            "s3": {name: "(set)" if name in _SECRET else value for name, value in places.s3.items()},
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
        fields.append(("Credentials", given))
    fields.append(("Principal", places.principal or "none"))
    print_fields(None, fields, as_json=False)


@click.command(cls=ExampleCommand, examples=["pachy version"])
def version() -> None:
    """Show the version of this package."""
    click.echo(__version__)
