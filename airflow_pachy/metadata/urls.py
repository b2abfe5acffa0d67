"""Reading and showing database URLs."""

from __future__ import annotations

from importlib.util import find_spec

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from airflow_pachy.errors import InvalidArgument

_POSTGRES_DRIVERS = ("psycopg2", "psycopg")
_MYSQL_DRIVERS = {"MySQLdb": "mysqldb", "pymysql": "pymysql"}
_EXAMPLES = "sqlite:///pachy.db, postgresql://user:password@host/database or mysql://user:password@host/database"


def parse_url(url: str) -> URL:
    """Read a database URL; without a named driver, it gets whichever is installed of those that we know.

    These are psycopg2 and psycopg for PostgreSQL, mysqlclient and PyMySQL for MySQL and MariaDB.
    Raises `InvalidArgument` without repeating the URL, which may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        msg = f"the metadata URL is not a database URL; write for example {_EXAMPLES}"
        raise InvalidArgument(msg) from error
    if parsed.drivername in {"postgres", "postgresql"}:
        driver = next((name for name in _POSTGRES_DRIVERS if find_spec(name)), _POSTGRES_DRIVERS[0])
        return parsed.set(drivername=f"postgresql+{driver}")
    if parsed.drivername in {"mysql", "mariadb"}:
        driver = next((name for module, name in _MYSQL_DRIVERS.items() if find_spec(module)), "pymysql")
        return parsed.set(drivername=f"{parsed.drivername}+{driver}")
    if parsed.get_backend_name() not in {"sqlite", "postgresql", "mysql", "mariadb"}:
        msg = f"metadata cannot be kept in {parsed.get_backend_name()!r}; use for example {_EXAMPLES}"
        raise InvalidArgument(msg)
    return parsed


def redacted(url: URL) -> str:
    """The URL with its password hidden, also one given as a query parameter."""
    secret = {name for name in url.query if "password" in name.lower() or "secret" in name.lower()}
    return url.difference_update_query(secret).render_as_string(hide_password=True)


def is_memory(url: URL) -> bool:
    """Whether this is an SQLite database that lives in memory only."""
    if url.get_backend_name() != "sqlite":
        return False
    return url.database in {None, "", ":memory:"} or "mode=memory" in str(url)
