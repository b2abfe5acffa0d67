"""The files of an input that have given keys, without a look at the others where its glob allows that.

With the glob `/orders/(*)-*.csv` and the template `$1`, a file whose key is 17 can only lie at `/orders/17-*.csv`.
Where something else is in front of the group the paths are gone through, which still makes no datums of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs.tree import Directory, File
from airflow_pachy.pfs.tree.glob import compile_glob
from airflow_pachy.pipelines.inputs.keys import key_filler

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from airflow_pachy.pfs.tree import Tree

_ONE_GROUP = re.compile(r"\$(?:(\d+)|\{(\d+)\})")


def find_by_key(
    tree: Tree, pattern: str, template: str, keys: Collection[str]
) -> Iterator[tuple[str, File | Directory]]:
    """What the glob matches and has one of the keys, with its key; of each key in path order."""
    from airflow_pachy.pfs.tree.preloading import preload  # not at parse time: pyarrow

    narrowed = [(key, _narrowed(pattern, template, key)) for key in keys]
    fill = key_filler(pattern, template)
    if any(glob is None for _key, glob in narrowed):
        yield from _scan(tree, pattern, template, frozenset(keys))
        return
    matches = compile_glob(pattern).matches
    preload(tree, [compile_glob(glob).literal_prefix for _key, glob in narrowed if glob is not None])
    for key, glob in narrowed:
        assert glob is not None
        for found in tree.glob(glob):
            if matches(found.path) and fill(found.path) == key:
                yield key, found


def _narrowed(pattern: str, template: str, key: str) -> str | None:
    """A glob that matches only what begins as paths of this key do, or None if keys come later in a path."""
    group = _ONE_GROUP.fullmatch(template)
    if group is None:
        return None
    number = int(group[1] or group[2])
    glob = compile_glob(pattern)
    found = glob.with_group(number, key) if number else None
    if found is None or not found.literal_prefix.startswith(f"{glob.literal_prefix}{key}".lstrip("/")):
        return None
    return found.pattern


def _scan(tree: Tree, pattern: str, template: str, keys: frozenset[str]) -> Iterator[tuple[str, File | Directory]]:
    from airflow_pachy.pfs.tree.rows import entries_of  # not at parse time: pyarrow

    fill = key_filler(pattern, template)
    for found in tree.glob_tables(pattern):
        if isinstance(found, Directory):
            if (key := fill(found.path)) in keys:
                yield key, found
            continue
        paths: Any = found["path"].to_pylist()
        chosen = [place for place, path in enumerate(paths) if fill(path) in keys]
        if chosen:
            for entry in entries_of(found.take(chosen)):
                yield fill(entry.path), File(entry)
