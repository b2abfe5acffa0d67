"""YAML documents with the place of each field.

Only JSON's own words mean something other than text: `yes`, `on`, dates and sexagesimal numbers, which YAML 1.1 turns
into booleans, times and integers, are what the author wrote.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.reading.document import FieldPath, Mark

_WORDS = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema, as far as specs need it."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _WORDS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    # A leading zero would make it octal in YAML 1.1.
    return int(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def read_yaml(text: str, origin: str) -> list[tuple[Any, dict[FieldPath, Mark]]]:
    """Every document of the text but empty ones. Raises `InvalidSpec` with line and column."""
    found: list[tuple[Any, dict[FieldPath, Mark]]] = []
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None  # check_node has said so
            marks: dict[FieldPath, Mark] = {}
            _note(node, (), marks, (), origin)
            value = loader.construct_document(node)
            if value is not None:
                found.append((value, marks))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{origin}:{mark.line + 1}:{mark.column + 1}" if mark else origin
        raise InvalidSpec(f"{place}: neither JSON nor YAML: {error.problem or error}") from error
    except yaml.YAMLError as error:
        raise InvalidSpec(f"{origin}: neither JSON nor YAML: {error}") from error
    finally:
        loader.dispose()
    return found


def _note(
    node: yaml.Node, path: FieldPath, marks: dict[FieldPath, Mark], around: tuple[yaml.Node, ...], origin: str
) -> None:
    marks.setdefault(path, Mark(node.start_mark.line + 1, node.start_mark.column + 1))
    if any(node is outer for outer in around):
        raise InvalidSpec(f"{origin}:{node.start_mark.line + 1}: an alias refers to what it stands in")
    inside = (*around, node)
    if isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            _note(item, (*path, place), marks, inside, origin)
    elif isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            below = (*path, str(key.value))
            mark = Mark(key.start_mark.line + 1, key.start_mark.column + 1)
            if below in marks and key.value != "<<":
                first = marks[below].line
                raise InvalidSpec(
                    f"{origin}:{mark.line}: {key.value!r} is given twice, first in line {first}; keep one"
                )
            marks[below] = mark
            _note(item, path if key.value == "<<" else below, {} if key.value == "<<" else marks, inside, origin)
