"""Durations as Go writes them (`1h30m`, `90s`, `1.5h`, `300ms`), which is how pipeline specs have them."""

from __future__ import annotations

import re
from datetime import timedelta

from airflow_pachy.errors import InvalidSpec

_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(value: str | timedelta) -> timedelta:
    """A positive duration; raises `InvalidSpec` for anything else."""
    duration = value if isinstance(value, timedelta) else _parse_text(value)
    if duration <= timedelta(0):
        raise InvalidSpec(f"a duration must be longer than zero, not {value!r}; leave it out for no limit")
    return duration


def _parse_text(text: str) -> timedelta:
    terms = list(_TERM.finditer(str(text)))
    if not terms or "".join(term.group() for term in terms) != text:
        raise InvalidSpec(
            f"{text!r} is not a duration: write numbers with units h, m, s or ms, such as '1h30m' or '90s'"
        )
    return timedelta(seconds=sum(float(term[1]) * _UNIT_SECONDS[term[2]] for term in terms))


def format_duration(duration: timedelta) -> str:
    """The shortest text of whole units that `parse_duration` reads back as the same duration."""
    microseconds = round(duration / timedelta(microseconds=1))
    parts = []
    for unit, size in (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)):
        count, microseconds = divmod(microseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
