"""What joins and groups share: members whose files have a key, and names that differ."""

from __future__ import annotations

import re
from abc import abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow_pachy.pfs.tree.glob import compile_glob
from airflow_pachy.pipelines.inputs.combined import CombinedInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.pipelines.inputs.pfs import PfsInput
    from airflow_pachy.pipelines.inputs.sources import DatumInput


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


def join_key(item: DatumInput) -> str:
    """What a join matches this file by."""
    return _captured(item, item.captures.join_on if item.captures else "")


def group_key(item: DatumInput) -> str:
    """What a group collects this file by."""
    return _captured(item, item.captures.group_by if item.captures else "")


def _captured(item: DatumInput, template: str) -> str:
    assert item.captures is not None, f"input {item.name!r} came into a join or group without a template"
    return key_filler(item.captures.glob, template)(item.path)


@lru_cache(maxsize=256)
def key_filler(pattern: str, template: str) -> Callable[[str], str]:
    """What gives the key of a path. A path that the glob has listed is one that it matches."""
    glob = compile_glob(pattern)
    group = re.fullmatch(r"\$(\d+)", template)
    if group is None or glob.is_root or group[1] == "0":
        return lambda path: glob.capture(path, template) or ""
    # Nearly every template is one group, and a join asks for millions of them.
    fullmatch, number = glob.regex.fullmatch, int(group[1])

    def fill(path: str) -> str:
        found = fullmatch(path)
        return (found[number] or "") if found is not None and number <= glob.regex.groups else ""

    return fill
