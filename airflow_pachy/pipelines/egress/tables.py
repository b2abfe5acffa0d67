"""Files to tables: the first part of a path names the table, the rows of its files become the table's rows.

All tables of a commit are written in one transaction, so the database has the old rows or the new ones. Cells of text
files are converted by the types of the table's columns, which must exist already: a schema is a decision that a
pipeline's output should not make by itself.
"""

from __future__ import annotations

import csv
import io
import json
import os
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import Denied, InvalidArgument, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from sqlalchemy import Column, Connection, Engine, Table

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.egress.target import FileFormat, SqlDatabase

PASSWORD_VARIABLE = "PACHYDERM_SQL_PASSWORD"  # noqa: S105 - a variable's name
_BATCH_ROWS = 1000

Row = dict[str, Any]


def write_tables(
    pfs: Pfs,
    commit: str,
    database: SqlDatabase,
    password: str | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, int]:
    """Write all tables; returns rows and files. Raises `InvalidArgument` naming file, row and column."""
    from sqlalchemy.exc import DBAPIError, OperationalError

    engine = _engine(database, password)
    try:
        with engine.begin() as connection:
            return _write(pfs, commit, database, connection, progress)
    except OperationalError as error:
        raise Unavailable(
            f"the database of egress, {engine.url.render_as_string()}, did not answer or refused: {error.orig}"
        ) from error
    except DBAPIError as error:
        raise InvalidArgument(f"egress of {commit} to {engine.url.render_as_string()}: {error.orig}") from error
    finally:
        engine.dispose()


def needs_password(database: SqlDatabase) -> bool:
    """Whether neither the URL nor the environment has the database's password. Raises `InvalidArgument`."""
    from sqlalchemy.exc import ArgumentError

    from airflow_pachy.metadata.urls import parse_url

    try:
        return not (parse_url(database.url).password or os.environ.get(PASSWORD_VARIABLE))
    except ArgumentError as error:
        raise InvalidArgument(f"egress: {database.url!r} is not the URL of a database: {error}") from error


def _engine(database: SqlDatabase, password: str | None) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    from airflow_pachy.metadata.urls import parse_url

    try:
        url = parse_url(database.url)
        secret = password or os.environ.get(PASSWORD_VARIABLE)
        return create_engine(url if url.password or not secret else url.set(password=secret))
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise InvalidArgument(f"egress: {database.url!r} is not a database that can be opened here: {error}") from error


def _write(
    pfs: Pfs,
    commit: str,
    database: SqlDatabase,
    connection: Connection,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, int]:
    rows = files = 0
    tables: dict[str, Table] = {}
    for found in pfs.walk_file(f"{commit}:/"):
        if found.type != "file":
            continue
        name, _, rest = found.path.lstrip("/").partition("/")
        if not rest:
            raise InvalidArgument(
                f"egress: {commit}:{found.path} lies in no directory, which would name its table; write it as "
                "/pfs/out/<table>/<file>"
            )
        if name not in tables:
            tables[name] = _table(connection, name, found.path)
            if database.mode == "replace":
                connection.execute(tables[name].delete())
        with pfs.open_file(f"{commit}:{found.path}") as content:
            rows += _insert(connection, tables[name], found.path, content, database.file_format)
        files += 1
        if progress is not None:
            progress(1, found.size_bytes)
    return rows, files


def _table(connection: Connection, name: str, path: str) -> Table:
    from sqlalchemy import MetaData, Table
    from sqlalchemy.exc import NoSuchTableError

    schema, dot, bare = name.rpartition(".")
    try:
        return Table(bare, MetaData(), schema=schema if dot else None, autoload_with=connection)
    except NoSuchTableError as error:
        raise InvalidArgument(
            f"egress: there is no table {name!r} for {path}; create it before, with the columns that the files have"
        ) from error
    except PermissionError as error:
        raise Denied(f"egress: table {name!r} may not be read: {error}") from error


def _insert(connection: Connection, table: Table, path: str, content: BinaryIO, form: FileFormat) -> int:
    count = 0
    batch: list[Row] = []
    readers = {"CSV": _csv_rows, "JSON": _json_rows, "PARQUET": _parquet_rows}
    for number, raw in enumerate(readers[form.type](content, form), start=1):
        row = _converted(table, raw, f"{path}, row {number}")
        # One statement has one list of columns: a row without a column gets that column's default.
        if batch and (len(batch) == _BATCH_ROWS or batch[-1].keys() != row.keys()):
            connection.execute(table.insert(), batch)
            count, batch = count + len(batch), []
        batch.append(row)
    if batch:
        connection.execute(table.insert(), batch)
    return count + len(batch)


def _csv_rows(content: BinaryIO, form: FileFormat) -> Iterator[Row]:
    """Rows by column. `columns` names them; a first row that holds just these names, in any order, is a header."""
    reader = csv.reader(io.TextIOWrapper(content, encoding="utf-8-sig", newline=""))
    names = list(form.columns)
    for number, cells in enumerate(reader):
        if number == 0 and (not names or sorted(cells) == sorted(names)):
            names = cells
            continue
        if not cells:
            continue
        if len(cells) != len(names):
            raise InvalidArgument(
                f"egress: line {reader.line_num} has {len(cells)} cells, but there are {len(names)} columns: "
                + ", ".join(names)
            )
        # An empty cell is NULL, as in Pachyderm.
        yield {name: cell or None for name, cell in zip(names, cells, strict=True)}


def _json_rows(content: BinaryIO, _: FileFormat) -> Iterator[Row]:
    """One object after the other, or a line each."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    text = io.TextIOWrapper(content, encoding="utf-8")
    rest = ""
    for number, line in enumerate(text, start=1):
        rest += line
        while rest := rest.lstrip():
            try:
                row, end = decoder.raw_decode(rest)
            except json.JSONDecodeError:
                break
            if not isinstance(row, dict):
                raise InvalidArgument(
                    f"egress: line {number} is a JSON {type(row).__name__}, not an object with columns"
                )
            yield row
            rest = rest[end:]
    if rest.strip():
        raise InvalidArgument(f"egress: the file ends inside a JSON object: {rest[:60]!r}")


def _parquet_rows(content: BinaryIO, _: FileFormat) -> Iterator[Row]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(content).iter_batches(batch_size=_BATCH_ROWS):
        yield from batch.to_pylist()


def _converted(table: Table, raw: Row, where: str) -> Row:
    row: Row = {}
    for name, value in raw.items():
        if name not in table.columns:
            known = ", ".join(table.columns.keys())
            raise InvalidArgument(f"egress: {where}: table {table.name!r} has no column {name!r}; it has {known}")
        row[name] = _cell(table.columns[name], value, where)
    return row


def _cell(column: Column[Any], value: Any, where: str) -> Any:
    if value is None:
        return None
    try:
        kind = column.type.python_type
    except NotImplementedError:
        return value
    if kind in (dict, list):
        return json.loads(value) if isinstance(value, str) else value
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    try:
        return _FROM_TEXT[kind](str(value)) if kind in _FROM_TEXT else kind(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InvalidArgument(
            f"egress: {where}: {value!r} is not a {column.type} for column {column.name!r} ({error})"
        ) from error


def _boolean(text: str) -> bool:
    words = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}
    if text.strip().lower() not in words:
        raise ValueError("write true or false")
    return words[text.strip().lower()]


_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    bool: _boolean,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    bytes: lambda text: text.encode(),
    str: str,
}
