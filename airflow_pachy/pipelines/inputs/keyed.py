"""What joins and groups share: members whose files have a key, names that differ, and changes told key by key."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from airflow_pachy.pipelines.inputs.combined import CombinedInput
from airflow_pachy.pipelines.inputs.keys import key_filler
from airflow_pachy.pipelines.inputs.sources import InputChanges

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from airflow_pachy.pipelines.inputs.pfs import PfsInput
    from airflow_pachy.pipelines.inputs.sources import DatumInput, Order, Sources

    Row = tuple[DatumInput, ...]
    Placed = tuple[Order, Row]

# A key that so many files share is no small change.
_MOST_OF_A_KEY = 100_000


class KeyedInput(CombinedInput):
    """Several inputs whose files are brought together by key."""

    def check_names(self) -> None:
        """All members may contribute to one datum, so names differ between them; and each file needs its key."""
        self.check_distinct_names()
        for leaf in self.leaves():
            self._check_leaf(leaf)

    def _check_leaf(self, leaf: PfsInput) -> None:
        if leaf.s3:
            raise ValueError(f"input {leaf.name!r} is an s3 input, which is one whole and cannot be in a {self.key}")
        if not self.template(leaf):
            raise ValueError(
                f"input {leaf.name!r} of a {self.key} needs '{self.template_name}': what its files are matched by, "
                "such as '$1' for what the first ( ) of its glob matched"
            )

    @property
    @abstractmethod
    def template_name(self) -> str:
        """The field of a pfs input that has the key's template."""

    def template(self, leaf: PfsInput) -> str:
        """The key's template of a leaf."""
        return str(getattr(leaf, self.template_name))

    @abstractmethod
    def keys_of(self, row: Row) -> set[str]:
        """The keys under which a member's row takes part."""

    @abstractmethod
    def datums_of_key(self, key: str, columns: Sequence[Sequence[Placed]]) -> Iterator[Placed]:
        """The datums of one key, for each member's rows of this key."""

    @abstractmethod
    def count_of_key(self, columns: Sequence[Sequence[Placed]]) -> int:
        """How many that are."""

    def datums(self, sources: Sources) -> Iterator[tuple[DatumInput, ...]]:
        """The datums in the order of keys."""
        return (row for _order, row in self.placed(sources))

    def changes(self, new: Sources, old: Sources, limit: int) -> InputChanges | None:
        """The datums of those keys that a changed file of any member has."""
        if any(member.may_repeat for member in self.members):
            return None
        keys: set[str] = set()
        for member in self.members:
            change = member.changes(new, old, limit)
            if change is None:
                return None
            rows = [*(row for _order, row in change.added), *change.removed]
            keys.update(*map(self.keys_of, rows))
        if len(keys) > limit:
            return None
        after, before = self._of_keys(new, keys, limit), self._of_keys(old, keys, limit)
        if after is None or before is None:
            return None
        added = [placed for identity, placed in after.items() if identity not in before]
        return InputChanges(added, [row for identity, (_order, row) in before.items() if identity not in after])

    def lists(self, sources: Sources, row: tuple[DatumInput, ...]) -> bool | None:
        """Whether the files of the row's key make this datum."""
        leaf = next((leaf for leaf in self.leaves() if row and leaf.name == row[0].name), None)
        if leaf is None:
            return False
        key = key_filler(leaf.glob, self.template(leaf))(row[0].path)
        found = self._of_keys(sources, {key}, _MOST_OF_A_KEY)
        return None if found is None else _identity(row) in found

    def _of_keys(self, sources: Sources, keys: Collection[str], limit: int) -> dict[tuple[bytes, ...], Placed] | None:
        """The datums of these keys by what they are; None if members cannot tell or there are more than `limit`."""
        members = [member.rows_with_keys(sources, keys, self.template_name) for member in self.members]
        found: dict[tuple[bytes, ...], Placed] = {}
        count = 0
        for key in sorted(keys):
            columns = []
            for rows in members:
                if rows is None:
                    return None
                columns.append(rows.get(key, ()))
            count += self.count_of_key(columns)
            if count > limit:
                return None
            found.update((_identity(row), (order, row)) for order, row in self.datums_of_key(key, columns))
        return found


def _identity(row: Row) -> tuple[bytes, ...]:
    return tuple(item.token for item in row)
