"""Which branches derive from which, as far as it concerns some of them.

Edges are stored between neighbours. A graph is read a generation at a time, so it costs as many queries as pipelines
are chained, and reads nothing of other graphs in the same database.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from airflow_pachy.metadata.models import BranchProvenance

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy.orm import Session

Name = tuple[str, str]
"""Repo and branch."""

_BATCH = 200


@dataclass(slots=True)
class BranchGraph:
    """Edges among branches: `above` to what each is directly made from, `below` the reverse."""

    above: defaultdict[Name, set[Name]] = field(default_factory=lambda: defaultdict(set))
    below: defaultdict[Name, set[Name]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def around(cls, session: Session, branches: Collection[Name]) -> BranchGraph:
        """Everything up and down from these branches."""
        graph = cls()
        graph.extend(session, branches, upwards=True)
        graph.extend(session, branches, upwards=False)
        return graph

    def add(self, branch: Name, upstream: Name) -> None:
        """Note one edge."""
        self.above[branch].add(upstream)
        self.below[upstream].add(branch)

    def extend(self, session: Session, branches: Iterable[Name], *, upwards: bool) -> None:
        """Read what is stored upwards or downwards from these branches."""
        known: set[Name] = set(branches)
        frontier = sorted(known)
        while frontier:
            reached: set[Name] = set()
            for branch, upstream in _edges(session, frontier, upwards=upwards):
                self.add(branch, upstream)
                reached.add(upstream if upwards else branch)
            frontier = sorted(reached - known)
            known |= reached

    def upstream(self, branch: Name) -> set[Name]:
        """All that a branch is made from, directly or not."""
        return _closure(self.above, branch)

    def downstream(self, branch: Name) -> set[Name]:
        """All that is made from a branch, directly or not."""
        return _closure(self.below, branch)


def _edges(session: Session, branches: list[Name], *, upwards: bool) -> Iterable[tuple[Name, Name]]:
    edge = BranchProvenance
    repo, name = (edge.repo, edge.branch) if upwards else (edge.upstream_repo, edge.upstream_branch)
    for start in range(0, len(branches), _BATCH):
        ends = or_(*(and_(repo == one, name == two) for one, two in branches[start : start + _BATCH]))
        for row in session.scalars(select(edge).where(ends)):
            yield (row.repo, row.branch), (row.upstream_repo, row.upstream_branch)


def _closure(edges: Mapping[Name, set[Name]], start: Name) -> set[Name]:
    reached: set[Name] = set()
    waiting = [start]
    while waiting:
        for one in edges.get(waiting.pop(), ()):
            if one not in reached:
                reached.add(one)
                waiting.append(one)
    return reached
