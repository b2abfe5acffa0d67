"""Names of nodes: what a parent, a commit or a plan keeps of a node."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_pachy.errors import InvalidArgument

_FORM = re.compile(r"([0-9]+):([0-9]+):([0-9]+):([0-9a-f]{64})\.([0-9A-Z]{26})")


@dataclass(frozen=True, slots=True)
class NodeRef:
    """Identity and place of a node.

    `id` (64 hex digits) is a function of the identities of the entries below it alone; `object` is the key of the
    bytes that hold it. `rows` files of `bytes` bytes lie below; a node of level 0 is a leaf.
    Two nodes of one id may differ in what identity leaves out: datum, mtime and where contents lie.
    """

    level: int
    rows: int
    bytes: int
    id: str
    ulid: str

    @property
    def object(self) -> str:
        """Key of the node's object."""
        return f"nodes/{self.id[:2]}/{self.id}.{self.ulid}"

    def __str__(self) -> str:
        return f"{self.level}:{self.rows}:{self.bytes}:{self.id}.{self.ulid}"

    @classmethod
    def parse(cls, text: str) -> NodeRef:
        """Read what `str()` gave; raises `InvalidArgument`."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise InvalidArgument(f"{text!r} does not name a tree; expected level:files:bytes:<64 hex digits>.<ulid>")
        level, rows, size, node_id, ulid = found.groups()
        return cls(int(level), int(rows), int(size), node_id, ulid)
