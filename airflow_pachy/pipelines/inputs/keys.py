"""The keys by which joins and groups bring files together."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow_pachy.pfs.tree.glob import compile_glob
from airflow_pachy.pfs.tree.glob_syntax import Choice, Part, Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.pipelines.inputs.sources import DatumInput


def join_key(item: DatumInput) -> str:
    """What a join matches this file by."""
    return _captured(item, item.captures.join_on if item.captures else "")


def group_key(item: DatumInput) -> str:
    """What a group collects this file by."""
    return _captured(item, item.captures.group_by if item.captures else "")


def _captured(item: DatumInput, template: str) -> str:
    assert item.captures is not None, f"input {item.name!r} came into a join or group without a template"
    return key_filler(item.captures.glob, template)(item.path)


def text_around(pattern: str, template: str) -> tuple[str, str] | None:
    """What stands before and behind the key in every path, where a path is just that: as in `/in/(*).csv` with `$1`."""
    parts = compile_glob(pattern).parts
    open_parts = [place for place, part in enumerate(parts) if not isinstance(part, Text)]
    if len(open_parts) != 1 or template not in ("$1", "${1}"):
        return None
    place = open_parts[0]
    group = parts[place]
    if not isinstance(group, Choice) or group.kind == "{" or any(map(_has_choice, group.options)):
        return None
    return _text(parts[:place]), _text(parts[place + 1 :])


def _text(parts: tuple[Part, ...]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


def _has_choice(parts: tuple[Part, ...]) -> bool:
    return any(isinstance(part, Choice) for part in parts)


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
