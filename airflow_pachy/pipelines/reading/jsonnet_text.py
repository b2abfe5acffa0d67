"""Jsonnet templates: a function of named arguments that evaluates to one pipeline spec or to a list of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def render_jsonnet(path: Path | None, text: str, arguments: Mapping[str, str], origin: str) -> Any:
    """What the template evaluates to with these arguments, all of them strings, as with `pachctl --arg`.

    Imports are relative to the file at `path`. Raises `InvalidSpec` with what Jsonnet says, or how to install it.
    """
    try:
        import _jsonnet  # type: ignore[import-untyped]  # it has no types
    except ImportError as error:
        raise InvalidSpec(
            f"{origin} is a Jsonnet template, and the package that evaluates these is not installed: "
            "pip install 'airflow-provider-pachy[jsonnet]'"
        ) from error
    try:
        rendered = _jsonnet.evaluate_snippet(str(path or origin), text, tla_vars=dict(arguments))
    except RuntimeError as error:
        raise InvalidSpec(f"{origin}: {_reason(str(error), arguments)}") from error
    return json.loads(rendered)


def _reason(message: str, arguments: Mapping[str, str]) -> str:
    """Jsonnet's message without its stack; what concerns arguments says how they are given."""
    first = message.strip().splitlines()[0].removeprefix("RUNTIME ERROR: ").removeprefix("STATIC ERROR: ")
    if "not bound in call" in first or "has no parameter" in first:
        given = ", ".join(arguments) or "none"
        return f"{first}: give each parameter of the template as --arg name=value (given: {given})"
    return first
