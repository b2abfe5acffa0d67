"""Changes in any order to changes in path order, and those to edits of a level's rows."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.tree.entries import Change, Entry, Put, Remove
from airflow_pachy.pfs.tree.node import PAST_EVERY_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Row = TypeVar("Row")


def sorted_changes(changes: Iterable[Change]) -> list[Change]:
    """The same effect in path order: of several changes to a path the last wins, and what was put is gone if its
    directory was removed after it. A removal comes before a put of the same path."""
    puts: dict[str, tuple[int, Put]] = {}
    removals: dict[str, Remove] = {}
    subtrees: dict[str, int] = {}
    for number, change in enumerate(changes):
        if isinstance(change, Put):
            puts[change.entry.path] = (number, change)
            continue
        puts.pop(change.path, None)
        if change.subtree:
            subtrees[change.path] = number
        if change.subtree or change.path not in removals:
            removals[change.path] = change
    kept = (
        put for number, put in puts.values() if not subtrees or not _removed_later(put.entry.path, number, subtrees)
    )
    ordered: list[tuple[str, int, Change]] = [(path, 0, removal) for path, removal in removals.items()]
    ordered += [(put.entry.path, 1, put) for put in kept]
    ordered.sort(key=lambda item: item[:2])
    return [change for _, _, change in ordered]


def _removed_later(path: str, number: int, subtrees: dict[str, int]) -> bool:
    end = len(path)
    while (end := path.rfind("/", 0, end)) > 0:
        if subtrees.get(path[:end], -1) > number:
            return True
    return subtrees.get("", -1) > number


@dataclass(frozen=True, slots=True)
class Edit(Generic[Row]):
    """One step at `key`: set its row to `row`; without one, drop the row there, or with `end` all in `[key, end)`."""

    key: str
    row: Row | None = None
    end: str | None = None


class Edits(Generic[Row]):
    """A stream of edits in key order, with a look at the next one."""

    def __init__(self, edits: Iterable[Edit[Row]]) -> None:
        self._edits = iter(edits)
        self.next: Edit[Row] | None = next(self._edits, None)

    def take(self, accept: Callable[[str], bool], limit: int) -> list[Edit[Row]]:
        """The next edits as long as their keys are accepted, at most `limit`."""
        taken: list[Edit[Row]] = []
        edit = self.next
        while edit is not None and len(taken) < limit and accept(edit.key):
            taken.append(edit)
            edit = next(self._edits, None)
        self.next = edit
        return taken


def leaf_edits(changes: Iterable[Change]) -> Iterator[Edit[Entry]]:
    """Edits of the leaves; raises `InvalidArgument` if the changes are not in path order."""
    ranges: list[tuple[str, str]] = []
    before: str | None = None
    for change in changes:
        path = change.entry.path if isinstance(change, Put) else change.path
        if before is not None and path < before:
            raise InvalidArgument(
                f"changes must come in path order, but {path!r} follows {before!r}; use sorted_changes()"
            )
        before = path
        while ranges and ranges[0][0] <= path:
            start, end = heapq.heappop(ranges)
            yield Edit(start, None, end)
        if isinstance(change, Put):
            yield Edit(path, change.entry)
            continue
        yield Edit(path)
        if change.subtree:
            # Between `a` and `a/` others may sort (`a-b`), so the range has its own place in the stream.
            heapq.heappush(ranges, (f"{path}/", f"{path}0") if path else ("", PAST_EVERY_KEY))
    for start, end in sorted(ranges):
        yield Edit(start, None, end)
