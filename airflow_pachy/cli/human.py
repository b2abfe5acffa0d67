"""Sizes, ages and durations as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEPS = (
    (60, 1, "second"),
    (60 * 60, 60, "minute"),
    (48 * 3600, 3600, "hour"),
    (14 * 86400, 86400, "day"),
    (60 * 86400, 7 * 86400, "week"),
    (730 * 86400, 30 * 86400, "month"),
)


def size(size_bytes: int) -> str:
    """`58646` -> `57.27 KiB`."""
    value = float(size_bytes)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{int(value)} B" if unit == "B" else f"{value:.2f} {unit}"
        value /= 1024
    raise AssertionError("unreachable: the last unit takes every size")


def span(seconds: float) -> str:
    """A rough length of time in its largest unit: `5 minutes`, `3 weeks`."""
    if seconds < 1:
        return "less than a second"
    for below, unit_seconds, name in _STEPS:
        if seconds < below:
            return _count(int(seconds // unit_seconds), name)
    return _count(int(seconds // (365 * 86400)), "year")


def age(moment: datetime | None, *, now: datetime | None = None) -> str:
    """`5 minutes ago`; `-` when there is no such moment."""
    if moment is None:
        return "-"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    return f"{span(max(seconds, 0.0))} ago"


def duration(started: datetime | None, finished: datetime | None, *, now: datetime | None = None) -> str:
    """How long something took or, when it has not finished, has been going; `-` before it started."""
    if started is None:
        return "-"
    return span(max(((finished or now or datetime.now(UTC)) - started).total_seconds(), 0.0))


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
