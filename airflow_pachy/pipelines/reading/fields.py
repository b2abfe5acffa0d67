"""What a field of a spec is: where it stands, which versions have it, and what becomes of it here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any


class Treatment(Enum):
    """What becomes of a field.

    HONOURED means what it means to Pachyderm, MAPPED has another form here or nothing left to do, REFUSED is an error.
    """

    HONOURED = "honoured"
    MAPPED = "mapped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the table.

    `path` is dotted; `[]` after a name is a list of objects, `{}` an object with names of the author's choice.
    `versions` are Pachyderm's, as in "1.4-1.13". `note` says what happens, or what to do instead. `becomes` is its
    name in our models, if that differs. `dropped` fields are accepted and leave nothing behind; of some, `only` this
    value is.
    """

    path: str
    versions: str
    treatment: Treatment
    note: str
    becomes: str = ""
    dropped: bool = False
    only: str = ""

    @property
    def fate(self) -> str:
        """What becomes of it, in the documentation's words; `accepted` is what is dropped."""
        return "accepted" if self.dropped else self.treatment.value

    def allows(self, value: Any) -> bool:
        """Whether it may have this value: some have but one, which may also be the name of an object."""
        named = value.get("name") if isinstance(value, Mapping) else value
        return not self.only or named == self.only

    @property
    def plain_path(self) -> str:
        """The path without the marks of lists and maps."""
        return self.path.replace("[]", "").replace("{}", "")


@dataclass(frozen=True, slots=True)
class Node:
    """One name of the vocabulary with what may stand below it. `kind` is "value", "object", "list" or "map"."""

    name: str
    kind: str
    children: dict[str, Node]
    field: Field | None = None

    def child(self, name: str) -> Node | None:
        """The node for a name as written: ours, or in the camel case of exported specs."""
        return self.children.get(name) or self.children.get(snake_case(name))


def snake_case(name: str) -> str:
    """`datumTimeout` as `datum_timeout`, `URL` as `url`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


NESTING = ("cross", "union", "join", "group")
"""The kinds of input that are lists of inputs."""


@cache
def vocabulary() -> Node:
    """The whole table as a tree; inputs contain themselves."""
    from airflow_pachy.pipelines.reading.field_table import all_fields

    root = Node("", "object", {})
    for row in all_fields():
        node = root
        *above, last = row.path.split(".")
        for part in above:
            node = _below(node, part, None)
        _below(node, last, row)
    inputs = root.children["input"]
    for kind in NESTING:
        inputs.children[kind] = Node(kind, "list", inputs.children, inputs.children[kind].field)
    return root


def _below(parent: Node, part: str, row: Field | None) -> Node:
    name = part.rstrip("[]{}")
    kind = "list" if part.endswith("[]") else "map" if part.endswith("{}") else "object" if row is None else "value"
    known = parent.children.get(name)
    if known is None:
        known = parent.children[name] = Node(name, kind, {}, row)
    elif row is not None or known.kind == "value":
        # A row of its own for an object, or an object that was a row so far.
        found = known.kind if known.kind != "value" else kind if kind != "value" else "object"
        known = parent.children[name] = Node(name, found, known.children, row or known.field)
    return known


def fields_below(path: str, treatment: Treatment) -> dict[str, str]:
    """The names right below `path` that are treated so, with their notes."""
    from airflow_pachy.pipelines.reading.field_table import all_fields

    found = {}
    for row in all_fields():
        above, _, name = row.plain_path.rpartition(".")
        if above == path and row.treatment is treatment:
            found[name] = row.note
    return found
