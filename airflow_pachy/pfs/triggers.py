"""`Trigger`: when a branch follows another one by itself. A value; `firing` evaluates it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.names import check_branch_name
from airflow_pachy.pfs.schedules import Schedule
from airflow_pachy.pfs.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Mapping

_OTHER_NAMES = {"size_bytes": "size", "rate_limit_spec": "rate_limit", "cron_spec": "cron"}


@dataclass(frozen=True, slots=True)
class Trigger:
    """Makes its branch point at the head of `branch`, another one of the same repo, when its conditions hold.

    The conditions, of which any will do, or with `all` every one is needed: `size`, the bytes that `branch` has grown
    by since the trigger fired last (a number, or text with a decimal unit: "100M"); `commits`, how many have been made
    since; `rate_limit`, a schedule of which at least one time has passed since. They are looked at when the head of
    `branch` moves. With `all` and no condition every move fires; without both, none. `cron` is a schedule of its own
    and stands alone: at each of its times the branch goes where `branch` is.

    Raises `InvalidArgument` or `InvalidName` for what cannot be meant.
    """

    branch: str
    all: bool = False
    size: int | str | None = None
    commits: int | None = None
    rate_limit: str | None = None
    cron: str | None = None

    def __post_init__(self) -> None:
        if not _is_text(self.branch):
            raise InvalidArgument("a trigger needs the branch that it follows, as in Trigger('staging', commits=10)")
        check_branch_name(self.branch)
        if self.size is not None:
            parse_size(self.size)
        if self.commits is not None and not _is_count(self.commits):
            raise InvalidArgument(f"a trigger's commits must be a number, 0 or more, not {self.commits!r}")
        for schedule in (self.rate_limit, self.cron):
            if schedule is not None:
                Schedule(schedule)
        others = (self.all, self.size is not None, self.commits is not None, self.rate_limit is not None)
        if self.cron is not None and any(others):
            raise InvalidArgument(
                "a trigger with cron fires at the times of its schedule and takes no other condition; to limit how "
                "often the others fire, give rate_limit (which Pachyderm called cron_spec before 2.8)"
            )

    @property
    def size_bytes(self) -> int | None:
        """`size` as a number of bytes."""
        return None if self.size is None else parse_size(self.size)

    @property
    def schedule(self) -> Schedule | None:
        """`cron` as a schedule."""
        return None if self.cron is None else Schedule(self.cron)

    @classmethod
    def of(cls, value: Trigger | Mapping[str, Any]) -> Trigger:
        """A trigger from its mapping, also with the names of Pachyderm's specs: `rate_limit_spec`, `cron_spec`."""
        if isinstance(value, Trigger):
            return value
        given = {_OTHER_NAMES.get(name, name): found for name, found in value.items()}
        if len(given) != len(value):
            raise InvalidArgument(f"a trigger says one thing twice: {dict(value)}")
        unknown = sorted(given.keys() - cls.__dataclass_fields__.keys())
        if unknown:
            raise InvalidArgument(
                f"a trigger has no {', '.join(map(repr, unknown))}; it has {', '.join(cls.__dataclass_fields__)}"
            )
        # Specs write conditions that are not meant as "" or 0.
        conditions = {name: found for name, found in given.items() if found not in ("", None, 0) and name != "branch"}
        return cls(given.get("branch") or "", **conditions)

    def to_dict(self) -> dict[str, Any]:
        """What `of` reads; only what was given."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in named.items() if value is not None and value is not False}

    def __str__(self) -> str:
        if self.cron is not None:
            return f"{self.branch} at {self.cron}"
        conditions = [
            *([f"{self.size} more bytes" if isinstance(self.size, int) else f"{self.size} more"] if self.size else []),
            *([f"{self.commits} commits"] if self.commits is not None else []),
            *([f"rate limit {self.rate_limit}"] if self.rate_limit is not None else []),
        ]
        if not conditions:
            return f"{self.branch} at every move" if self.all else f"{self.branch} never"
        return f"{self.branch} on {(' and ' if self.all else ' or ').join(conditions)}"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
