"""Range reads that fetch neighbours together: a small gap costs less than another request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from airflow_pachy.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GAP_BYTES = 256 << 10
SPAN_BYTES = 8 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Piece(Generic[T]):
    """Bytes `[offset, offset + length)` of `object`, wanted for `purpose`."""

    object: str
    offset: int
    length: int
    purpose: T


@dataclass(slots=True)
class Span(Generic[T]):
    """One range read and the pieces that it serves, by offset."""

    object: str
    offset: int
    end: int
    pieces: list[Piece[T]]


def plan_spans(pieces: Iterable[Piece[T]]) -> Iterator[Span[T]]:
    """Cover all pieces with reads of at most `SPAN_BYTES` (more only for a single piece), gaps up to `GAP_BYTES`."""
    span: Span[T] | None = None
    for piece in sorted(pieces, key=lambda piece: (piece.object, piece.offset)):
        end = piece.offset + piece.length
        if (
            span is not None
            and span.object == piece.object
            and piece.offset <= span.end + GAP_BYTES
            and max(span.end, end) - span.offset <= SPAN_BYTES
        ):
            span.pieces.append(piece)
            span.end = max(span.end, end)
            continue
        if span is not None:
            yield span
        span = Span(piece.object, piece.offset, end, [piece])
    if span is not None:
        yield span


def require_complete(body: bytes | memoryview, name: str, offset: int, length: int) -> None:
    """Raise `Corrupt` if fewer bytes than asked for were there at `offset` of the object `name`."""
    if len(body) != length:
        raise Corrupt(
            f"{name} has {len(body)} of the {length} bytes expected at {offset}; "
            "it was cut short or replaced: restore it from a backup of the bucket"
        )
