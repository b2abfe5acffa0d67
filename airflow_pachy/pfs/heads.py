"""What a writer has seen of a branch before it moves its head. Imports nothing: see `airflow_pachy.metadata.plain`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """What a writer saw of a branch when it began: its head and the number of its last move."""

    head: str | None
    ordinal: int


@dataclass(frozen=True, slots=True)
class Start:
    """What a commit is built on: `tree` is that of the head, `provenance` the heads of the branches upstream."""

    seen: Seen
    tree: str | None
    provenance: tuple[str, ...] = ()


def utc_now() -> datetime:
    """The present, with its time zone."""
    return datetime.now(UTC)
