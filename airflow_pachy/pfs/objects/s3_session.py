"""A botocore session that makes an S3 client quickly.

What takes long is reading tables that are not needed: the regions of all of AWS's services (a megabyte of JSON), of
no use where the endpoint is given, and the directories of all services, to find out that S3 is one of them; and
registering what is to be done for some of a hundred other services, or to write their documentation. boto3 adds its
upload manager, which we do not use. Credentials, profiles and settings are found as boto3 finds them. And of each
answer, what takes longest is to find out what a date is that may be in any format; S3 has two.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from botocore.handlers import BUILTIN_HANDLERS, REGISTER_FIRST
from botocore.loaders import Loader
from botocore.session import Session
from botocore.utils import parse_timestamp

from airflow_pachy.pfs.objects.s3_tables import Tables

# S3, and the services that credentials come from.
_SERVICES = frozenset({"s3", "sts", "sso", "sso-oidc", "signin"})

# The same for S3 as what botocore's `endpoints` says of a region of AWS; the name of the host is given.
_ANY_REGION: dict[str, Any] = {
    "partition": "aws",
    "partitionName": "an endpoint that was given",
    "dnsSuffix": "amazonaws.com",
    "regionRegex": ".+",
    "regions": {},
    "defaults": {
        "hostname": "{service}.{region}.{dnsSuffix}",
        "protocols": ["https"],
        "signatureVersions": ["v4"],
    },
    "services": {
        "s3": {
            "defaults": {"protocols": ["http", "https"], "signatureVersions": ["s3v4"]},
            "endpoints": {
                "aws-global": {
                    "credentialScope": {"region": "us-east-1"},
                    "hostname": "s3.amazonaws.com",
                    "signatureVersions": ["s3v4"],
                }
            },
            "isRegionalized": True,
            "partitionEndpoint": "aws-global",
        }
    },
}


def lean_session(*, endpoint_is_given: bool, tables: bool = False) -> Session:
    """A session of its own, which several threads must not use at once (its clients they may).

    `endpoint_is_given` promises that its clients get an `endpoint_url`; with `tables` they are of S3, and do no more
    than what `Tables` keeps.
    """
    session = Session(include_builtin_handlers=False)
    _register_handlers(session)
    extra: str | None = session.get_config_variable("data_path")
    paths = [str(Path(path).expanduser()) for path in extra.split(":")] if extra else None
    session.register_component("data_loader", _LeanLoader(paths, without_regions=endpoint_is_given, tables=tables))
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_time)
    return session


def parse_time(value: Any) -> datetime:
    """A time of an answer: quickly in S3's formats, those of HTTP's headers and of ISO 8601, else as botocore does.

    Raises `ValueError`.
    """
    if isinstance(value, str):
        with suppress(ValueError):
            found = parsedate_to_datetime(value) if value.endswith("GMT") else datetime.fromisoformat(value)
            if found.tzinfo is not None:
                return found
    other: datetime = parse_timestamp(value)
    return other


def _register_handlers(session: Session) -> None:
    """Have botocore's own handlers called that any service may need, or one that we may talk to."""
    emitter = session.get_component("event_emitter")
    for event, handler, *when in BUILTIN_HANDLERS:
        names = event.split(".")
        if names[0] == "docs" or (len(names) > 1 and names[1] not in _SERVICES):
            continue
        if not when:
            emitter.register(event, handler)
        elif when[0] is REGISTER_FIRST:
            emitter.register_first(event, handler)
        else:
            emitter.register_last(event, handler)


class _LeanLoader(Loader):
    """Reads what an S3 client needs of botocore's data."""

    def __init__(self, extra_search_paths: list[str] | None, *, without_regions: bool, tables: bool) -> None:
        super().__init__(extra_search_paths=extra_search_paths)
        # Unless the user has a description of S3 of his own.
        elsewhere = [Path(path, "s3") for path in self.search_paths if path != self.BUILTIN_DATA_PATH]
        self._tables = None
        if tables and not any(path.exists() for path in elsewhere):
            self._tables = Tables.of_user(self.BUILTIN_DATA_PATH)
        self._without_regions = without_regions
        self._services: list[str] | None = None

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - the signature is botocore's
        """Names of all services, without opening the directory of each to see whether it has this type of data."""
        if self._services is None:
            names: set[str] = set()
            for path in self.search_paths:
                with suppress(OSError):
                    names.update(os.listdir(path))  # noqa: PTH208 - a Path for each of four hundred takes long
            self._services = sorted(names)
        return self._services

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """As botocore does, but for the regions, and for what is kept."""
        if name == "endpoints" and self._without_regions:
            return {"partitions": [_ANY_REGION], "version": 3}, str(Path(self.BUILTIN_DATA_PATH) / name)
        if self._tables is not None and (kept := self._tables.get(name)) is not None:
            return kept, str(Path(self.BUILTIN_DATA_PATH) / name)
        found: tuple[Any, str] = super().load_data_with_path(name)
        if self._tables is not None:
            self._tables.take(name, found[0])
        return found
