"""What garbage collection tells about a root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime, timedelta

Fate = Literal["live", "waiting", "young", "condemned"]
"""What becomes of objects: needed; kept for writers that may still build on what was removed lately; unreachable, but
too young to tell from what a writer has just uploaded; deleted (in a dry run: would be)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Objects of one kind (`nodes`, `packs`, ...) that share their fate.

    `repo` is the first, by name, that needs them, or what needed them last; empty for what belongs to pipelines or to
    nobody, as uploads of killed writers do.
    """

    repo: str
    kind: str
    fate: Fate
    objects: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GcReport:
    """The outcome of one run. `oldest` and `newest` are the times of the condemned objects, by the store's clock.

    `dead_bytes` lie in packs that are kept for other contents. `forgotten` are commits whose data retention gives up,
    `expired` open commits that nobody wrote to for too long, both as `repo@id`, and `expired_jobs` the ids of jobs that
    gave no sign of life for as long; in a dry run: would.
    """

    run: str
    dry_run: bool
    started: datetime
    grace: timedelta
    usage: tuple[Usage, ...]
    dead_bytes: int
    oldest: datetime | None
    newest: datetime | None
    forgotten: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    foreign_objects: int = 0
    expired_jobs: tuple[str, ...] = ()

    def objects(self, fate: Fate) -> int:
        """How many objects have this fate."""
        return sum(one.objects for one in self.usage if one.fate == fate)

    def size_bytes(self, fate: Fate) -> int:
        """How large the objects of this fate are."""
        return sum(one.size_bytes for one in self.usage if one.fate == fate)

    @property
    def condemned_bytes(self) -> int:
        """What is freed."""
        return self.size_bytes("condemned")

    @property
    def condemned_objects(self) -> int:
        """How many objects go."""
        return self.objects("condemned")

    @property
    def live_bytes(self) -> int:
        """What is needed."""
        return self.size_bytes("live")
