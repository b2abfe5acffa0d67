"""Column types that mean the same on SQLite, PostgreSQL and MySQL.

Three traps are closed here once: SQLite and MySQL drop the time zone of a timestamp, MySQL drops its
microseconds unless told otherwise, and MySQL compares strings without regard to case by default
or to spaces at the end (two repos `Images` and `images` would be one).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, Dialect, String, Text, TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

_MYSQL = {"mysql", "mariadb"}


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware in Python, always UTC, to the microsecond. Naive values are refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """`timestamptz` where there is one, `DATETIME(6)` on MySQL, text on SQLite."""
        if dialect.name in _MYSQL:
            from sqlalchemy.dialects import mysql

            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; backends without time zones get the naive UTC value."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = f"a timestamp without time zone ({value!r}) cannot be stored; use datetime.now(UTC)"
            raise ValueError(msg)
        instant = value.astimezone(UTC)
        return instant if dialect.name == "postgresql" else instant.replace(tzinfo=None)

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - the signature is SQLAlchemy's
    ) -> datetime | None:
        """Attach or convert to UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _ExactText(TypeDecorator[str]):
    """Text compared byte by byte everywhere. MySQL's types are imported where MySQL is used: they are slow."""

    impl = String
    cache_ok = True

    def __init__(self, length: int, charset: str) -> None:
        super().__init__(length)
        self.length = length
        self.charset = charset

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """A binary collation on MySQL, plain text elsewhere."""
        if dialect.name not in _MYSQL:
            return String(self.length)
        from sqlalchemy.dialects import mysql

        return dialect.type_descriptor(
            mysql.VARCHAR(self.length, charset=self.charset, collation=_collation(self.charset, dialect))
        )


class _LongText(TypeDecorator[str]):
    """Text without a practical limit."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """MySQL's own TEXT ends at 64 KiB."""
        if dialect.name not in _MYSQL:
            return Text()  # a descriptor of it would be VARCHAR on PostgreSQL
        from sqlalchemy.dialects import mysql

        return dialect.type_descriptor(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"))


def _collation(charset: str, dialect: Dialect) -> str:
    """The collation under which texts are equal if their bytes are.

    The older `_bin` ones take "a" and "a " for the same: what a user typed would find somebody else's row. MySQL has
    a better one for utf8mb4 only, and ascii is for names and ids, which hold no spaces.
    """
    if getattr(dialect, "is_mariadb", False):
        return f"{charset}_nopad_bin"
    return "utf8mb4_0900_bin" if charset == "utf8mb4" else f"{charset}_bin"


def ascii_key(length: int) -> TypeEngine[str]:
    """Text of ASCII names and ids, compared byte by byte everywhere; one byte per character in MySQL indexes."""
    return _ExactText(length, "ascii")


def utf8_key(length: int) -> TypeEngine[str]:
    """Text that may be any Unicode and is looked up exactly (four bytes per character in MySQL indexes)."""
    return _ExactText(length, "utf8mb4")


def long_text() -> TypeEngine[str]:
    """Text without a practical limit (MySQL's own TEXT ends at 64 KiB)."""
    return _LongText()
