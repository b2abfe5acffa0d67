"""Labels: short texts by key, for people and programs that look for commits and repos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_LENGTH = 128
VALUE_LENGTH = 4096


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels as a dict of its own. Raises `InvalidArgument` for a key or value that cannot be one."""
    for key, value in labels.items():
        _check_key(key)
        _check_value(key, value)
    return dict(labels)


def merged_labels(present: Mapping[str, str] | None, changes: Mapping[str, str | None] | None) -> dict[str, str] | None:
    """Present labels with the changed ones set and those whose new value is None taken away; None if none are left."""
    merged = dict(present or {})
    for key, value in (changes or {}).items():
        _check_key(key)
        if value is None:
            merged.pop(key, None)
        else:
            _check_value(key, value)
            merged[key] = value
    return merged or None


def has_labels(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether all of `wanted` are among the labels, with the same values."""
    return all(labels.get(key) == value for key, value in wanted.items())


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key or "=" in key or not key.isprintable() or key != key.strip():
        raise InvalidArgument(f"{key!r} cannot be the key of a label: use printable text without '='")
    if len(key) > KEY_LENGTH:
        raise InvalidArgument(f"the label {key[:24]!r}... has {len(key)} characters; at most {KEY_LENGTH} are allowed")


def _check_value(key: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidArgument(f"the label {key!r} must have a text as its value, not {value!r}")
    if len(value) > VALUE_LENGTH:
        raise InvalidArgument(f"the label {key!r} has {len(value)} characters; at most {VALUE_LENGTH} are allowed")
