"""No path is both a file and a directory.

Only what was put can bring a conflict. Most pairs lie in one leaf and are seen when it is written; a pair in two
leaves is noted as a suspicion, and looked up in the finished tree. A leaf whose unchanged rows already lie in a
directory clears it, so that an ordinary commit looks nothing up.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from airflow_pachy.errors import PathConflict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_pachy.pfs.tree.tables import Flags
    from airflow_pachy.pfs.tree.view import Tree


def conflict(path: str) -> PathConflict:
    """The error for a path that would be both."""
    return PathConflict(
        f"/{path} would be both a file and a directory; delete the one that is there before putting the other"
    )


def with_ancestors(directories: Iterable[str]) -> set[str]:
    """The directories and all above them, without the root."""
    found: set[str] = set()
    for directory in directories:
        above = directory
        while above and above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return found


class ConflictCheck:
    """Looks at every new leaf of one `apply`, then at the new tree."""

    def __init__(self) -> None:
        self._maybe_files: set[str] = set()
        self._maybe_directories: set[str] = set()
        self._before = ""

    def look(self, paths: list[str], is_new: Flags) -> None:
        """Check a new leaf; raises `PathConflict`."""
        if not is_new.any():
            return
        directories = with_ancestors({path.rpartition("/")[0] for path in paths})
        if both := directories.intersection(paths):
            raise conflict(min(both))
        first, last = paths[0], paths[-1]
        put = [paths[place] for place in is_new.nonzero()[0]]
        for directory in with_ancestors({path.rpartition("/")[0] for path in put}):
            if self._before.startswith(f"{directory}/"):
                continue  # the leaf before, which has files of it, was looked at
            if directory < first and not self._was_directory(directory, paths, is_new):
                self._maybe_files.add(directory)
        self._before = last
        # A file's directory-mates may start in a later leaf only if the rest of this one begins with its name.
        beginnings = {last[:end] for end in range(1, len(last) + 1)}
        self._maybe_directories |= beginnings.intersection(put)

    def finish(self, tree: Tree) -> None:
        """Look up the suspicions in the new tree; raises `PathConflict`."""
        for path in sorted(self._maybe_files):
            if tree.get(path) is not None:
                raise conflict(path)
        for path in sorted(self._maybe_directories):
            if tree.has_prefix(f"{path}/"):
                raise conflict(path)

    def _was_directory(self, directory: str, paths: list[str], is_new: Flags) -> bool:
        """Whether an unchanged row of the leaf lies below: then it was no file, and a put there is looked at itself."""
        start, end = bisect_left(paths, f"{directory}/"), bisect_left(paths, f"{directory}0")
        return not is_new[start:end].all()
