"""Making an open commit hold what a git tree holds, with what is there already left alone."""

from __future__ import annotations

import stat
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.content import hash_bytes

if TYPE_CHECKING:
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.handle import Commit
    from airflow_pachy.pipelines.inputs.git_fetch import GitFile, GitTree

# Up to here a file's hash is that of its bytes; a larger one may be cut into chunks first, and is put again.
_COMPARED_BYTES = 1 << 20
_MAX_LINKS = 40


def put_tree(pfs: Pfs, commit: Commit, tree: GitTree) -> None:
    """Put what is new, delete what is gone. Links are followed; those that lead out of the tree are left out.

    Raises `InvalidArgument` for a submodule, whose files are in another repository.
    """
    present = {one.path: (one.size_bytes, one.hash) for one in pfs.walk_file(f"{commit}:/") if one.type == "file"}
    files = {one.path: one for one in tree.files}
    wanted: dict[str, tuple[GitFile, bytes]] = {}
    for one in tree.files:
        if stat.S_IFMT(one.mode) not in (stat.S_IFREG, stat.S_IFLNK):
            raise InvalidArgument(
                f"{one.path} of the git tree is a submodule; give it a git input of its own and cross the two"
            )
        target = _target(one, files, tree)
        if target is not None:
            wanted[f"/{one.path}"] = target, tree.read(target.blob)
    for gone in sorted(present.keys() - wanted.keys()):
        commit.delete_file(_literal(gone))
    for path, (target, content) in wanted.items():
        if len(content) > _COMPARED_BYTES or present.get(path) != (len(content), hash_bytes(content).hex()):
            commit.put_file(path, content, executable=bool(target.mode & stat.S_IXUSR))


def _target(one: GitFile, files: dict[str, GitFile], tree: GitTree) -> GitFile | None:
    """The file that a link leads to, or the file itself; None for a link that leads nowhere in the tree."""
    for _ in range(_MAX_LINKS):
        if not stat.S_ISLNK(one.mode):
            return one
        text = tree.read(one.blob).decode("utf-8", "surrogateescape")
        found = files.get(normpath(join(dirname(one.path), text)))
        if found is None:
            return None
        one = found
    return None


def _literal(path: str) -> str:
    """A path as a glob that matches it alone."""
    return "".join(f"\\{char}" if char in "*?[]{}()!@+^\\" else char for char in path)
