"""Where a commit goes: the `egress` object of a pipeline spec, checked when it is read.

Pachyderm's three forms are accepted: `{"URL": "s3://bucket/dir"}`, `{"object_storage": {"url": ...}}` and
`{"sql_database": {"url": ..., "file_format": {"type": "CSV", "columns": [...]}}}`. Two fields are ours: `mode` says
what becomes of rows that are in a table already, `mirror` whether files that left the commit are deleted at the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.models import SpecModel, nulls_dropped

TableMode = Literal["replace", "append"]


class FileFormat(SpecModel):
    """How the files of a table are written; `columns` name the cells of CSV files without a header, in order."""

    type: Literal["CSV", "JSON", "PARQUET"] = "CSV"
    columns: tuple[str, ...] = ()

    @field_validator("type", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class SecretRef(SpecModel):
    """A key of a Kubernetes secret; outside pods the password comes from the connection or the environment."""

    name: str = Field(min_length=1)
    key: str = "PACHYDERM_SQL_PASSWORD"


class SqlDatabase(SpecModel):
    """Tables of a database: files under `/<table>/` become rows of `<table>`."""

    url: str = Field(min_length=1)
    file_format: FileFormat = FileFormat()
    secret: SecretRef | None = None
    mode: TableMode = "replace"


class ObjectStorage(SpecModel):
    """A folder of an object store or of a file system."""

    url: str = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _names_a_place(cls, value: str) -> str:
        parts = urlsplit(value)
        if not parts.scheme:
            raise ValueError(f"{value!r} has no scheme; write for example s3://bucket/folder or file:///folder")
        if parts.scheme != "file" and not parts.netloc:
            raise ValueError(f"{value!r} names no bucket; write {parts.scheme}://bucket/folder")
        return value.rstrip("/")


class EgressTarget(SpecModel):
    """One target: a folder or a database."""

    refused: ClassVar[Mapping[str, str]] = {}

    object_storage: ObjectStorage | None = None
    sql_database: SqlDatabase | None = None
    mirror: bool = False

    @model_validator(mode="before")
    @classmethod
    def _older_form(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        body = dict(value)
        for name in ("URL", "url"):
            if name in body:
                body["object_storage"] = {"url": body.pop(name)}
        return body

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.object_storage is None) == (self.sql_database is None):
            raise ValueError("give exactly one of URL, object_storage and sql_database")
        if self.mirror and self.sql_database is not None:
            raise ValueError("mirror is for folders; rows of a table are replaced with mode: replace")
        return self

    @property
    def url(self) -> str:
        """Where to."""
        return self.object_storage.url if self.object_storage else self.sql_database.url if self.sql_database else ""


def parse_egress(value: Mapping[str, Any] | str | EgressTarget, *, origin: str = "egress") -> EgressTarget:
    """A target from its spec form, or from a URL of a folder. Raises `InvalidSpec`."""
    if isinstance(value, EgressTarget):
        return value
    document = {"URL": value} if isinstance(value, str) else value
    try:
        return EgressTarget.model_validate(nulls_dropped(document))
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            where = ".".join(str(part) for part in problem["loc"])
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{origin}: {where}: {message}" if where else f"{origin}: {message}")
        raise InvalidSpec("\n".join(lines)) from error
