"""Cron expressions: five fields, `@hourly` and its relatives, `@every 90m`, `@never`. All times are UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from airflow_pachy.errors import InvalidArgument

_EVERY = re.compile(r"@every\s+((?:\d+(?:\.\d+)?(?:h|m|s))+)")
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_ANY_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
_NICKNAMES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is due. `text` is the expression; raises `InvalidArgument` for one that means nothing."""

    text: str

    def __post_init__(self) -> None:
        if not _is_schedule(self.text):
            raise InvalidArgument(
                f"{self.text!r} is not a schedule: write five cron fields ('30 6 * * 1-5'), {', '.join(_NICKNAMES)}, "
                "'@every 90m' or '@never'"
            )

    @property
    def is_never(self) -> bool:
        """Whether no time is ever due: `@never`, or a date that does not exist, such as 31 February."""
        return self.next_after(_ANY_MOMENT) is None

    def next_after(self, moment: datetime) -> datetime | None:
        """The first time that is later than `moment`; None if there is none. `@every` counts from `moment`."""
        if self.text == "@never":
            return None
        if (step := step_of(self.text)) is not None:
            return moment + step
        return self._walk(moment, forward=True)

    def last_until(self, moment: datetime, start: datetime) -> datetime | None:
        """The last time after `start` that is not later than `moment`; None if there is none."""
        if self.text == "@never" or moment <= start:
            return None
        if (step := step_of(self.text)) is not None:
            count = (moment - start) // step
            return start + count * step if count else None
        # croniter looks for what is strictly earlier.
        last = self._walk(moment + timedelta(microseconds=1), forward=False)
        return last if last is not None and last > start else None

    def _walk(self, moment: datetime, *, forward: bool) -> datetime | None:
        from croniter import CroniterBadDateError, croniter

        ticks = croniter(self.text, moment.astimezone(UTC))
        try:
            return cast("datetime", ticks.get_next(datetime) if forward else ticks.get_prev(datetime))
        except CroniterBadDateError:
            # Such as 30 February: a date that never comes.
            return None


def step_of(text: str) -> timedelta | None:
    """The time between two ticks of an `@every` expression; None for any other."""
    match = _EVERY.fullmatch(text)
    if match is None:
        return None
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(match[1])))


def _is_schedule(text: object) -> bool:
    from croniter import croniter

    if not isinstance(text, str):
        return False
    if text == "@never":
        return True
    if (step := step_of(text)) is not None:
        return step > timedelta(0)
    if text.startswith("@"):
        return text in _NICKNAMES
    # Six fields would have seconds: a different meaning of the same-looking text in different tools.
    return len(text.split()) == 5 and bool(croniter.is_valid(text))
