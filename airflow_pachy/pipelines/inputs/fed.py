"""Inputs whose repo is not put into by people: a schedule or another version control system feeds it."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_pachy.errors import AlreadyExists
from airflow_pachy.pipelines.inputs.base import Input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.inputs.pfs import PfsInput
    from airflow_pachy.pipelines.inputs.sources import DatumInput, InputChanges, Order, Sources


class FedInput(Input):
    """Reads a repo of its own through `leaf`."""

    @property
    @abstractmethod
    def leaf(self) -> PfsInput:
        """How its repo is read. Raises `ValueError` when that is not known yet."""

    @property
    @abstractmethod
    def purpose(self) -> str:
        """The description of its repo."""

    @property
    def may_repeat(self) -> bool:
        """Paths differ, and so do the datums."""
        return False

    def leaves(self) -> Iterator[PfsInput]:
        """The one that reads its repo."""
        yield self.leaf

    def check_names(self) -> None:
        """One input has no one to collide with; but its repo must be known by now."""
        _ = self.leaf

    def datums(self, sources: Sources) -> Iterator[tuple[DatumInput, ...]]:
        """Those of its leaf."""
        return self.leaf.datums(sources)

    def placed(self, sources: Sources) -> Iterator[tuple[Order, tuple[DatumInput, ...]]]:
        """Those of its leaf."""
        return self.leaf.placed(sources)

    def changes(self, new: Sources, old: Sources, limit: int) -> InputChanges | None:
        """Those of its leaf."""
        return self.leaf.changes(new, old, limit)

    def lists(self, sources: Sources, row: tuple[DatumInput, ...]) -> bool | None:
        """Whether its leaf does."""
        return self.leaf.lists(sources, row)


def fed_inputs(node: Input) -> Iterator[FedInput]:
    """Those of an input and what is nested in it, in the order of the spec."""
    if isinstance(node, FedInput):
        yield node
    for member in getattr(node, "members", ()):
        yield from fed_inputs(member)


def make_own_sources(pfs: Pfs, node: Input) -> None:
    """Make what only this input needs: repos of cron and git inputs, and branches that follow others by a trigger.

    What is there stays, but for a trigger's conditions, which are set anew. Raises `RepoNotFound` for a triggered input
    of a repo that does not exist.
    """
    for one in fed_inputs(node):
        with suppress(AlreadyExists):
            pfs.create_repo(one.leaf.repo, description=one.purpose)
        pfs.create_branch(f"{one.leaf.repo}@{one.leaf.branch}")
    for leaf in node.leaves():
        if isinstance(leaf.trigger, dict):
            pfs.create_branch(f"{leaf.repo}@{leaf.branch}", trigger=leaf.trigger)
