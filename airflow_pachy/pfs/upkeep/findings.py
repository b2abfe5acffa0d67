"""What checks find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be: what, where, and what to do about it.

    `repairable` ones are repaired by `fix`; `fixed` says that this has happened.
    """

    what: str
    where: str
    advice: str
    repairable: bool = False
    fixed: bool = False

    def __str__(self) -> str:
        state = "fixed: " if self.fixed else ""
        return f"{state}{self.where}: {self.what}; {self.advice}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, and what repairs it, if anything does."""

    problem: Problem
    repair: Callable[[], None] | None = None
