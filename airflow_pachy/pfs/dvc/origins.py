"""Where data from a DVC project came from, kept as labels of the commit, and so listed, searched and mirrored with it.

    dvc.repo    the repository, without password       dvc.path    the path in it
    dvc.rev     the git commit, in full                dvc.md5     DVC's hash of the path, if DVC tracks it
    dvc.target  where it was put

A second path put into the same open commit has `dvc.2.repo` and so on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Origin:
    """One path of a DVC project at one revision, and where in the commit it is."""

    repo: str
    path: str
    target: str
    rev: str = ""
    md5: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a later revision of the same is known by."""
        return self.repo, self.path, self.target

    def labels(self, present: Mapping[str, str]) -> dict[str, str]:
        """Labels to add to those of a commit: in the place of an earlier put of the same, else in a free one."""
        taken = dict(numbered(present))
        number = next((one for one, other in taken.items() if other.key == self.key), max(taken, default=0) + 1)
        prefix = _prefix(number)
        return {f"{prefix}.{one.name}": value for one in fields(self) if (value := getattr(self, one.name))}


def numbered(labels: Mapping[str, str]) -> Iterator[tuple[int, Origin]]:
    """The origins in a commit's labels, numbered from 1."""
    number = 1
    while (repo := labels.get(f"{_prefix(number)}.repo")) is not None:
        values = {name: labels.get(f"{_prefix(number)}.{name}", "") for name in ("path", "target", "rev", "md5")}
        yield number, Origin(repo, **values)
        number += 1


def _prefix(number: int) -> str:
    return "dvc" if number == 1 else f"dvc.{number}"
