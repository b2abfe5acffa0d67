"""`--label key=value`, and labels as people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def label_option(text: str) -> Callable[[F], F]:
    """`--label KEY=VALUE`, repeatable, as a dict; `text` says what it is for."""

    def decorate(function: F) -> F:
        option = click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", callback=_read, help=text)
        return option(function)

    return decorate


def unlabel_option(function: F) -> F:
    """`--unlabel KEY`, repeatable."""
    return click.option("--unlabel", multiple=True, metavar="KEY", help="Take this label away; repeatable.")(function)


def changes(labels: Mapping[str, str], unlabel: Iterable[str]) -> dict[str, str | None]:
    """What to set and, with None, what to take away."""
    return {**dict.fromkeys(unlabel), **labels}


def shown(labels: Mapping[str, str]) -> str:
    """`key=value, ...`."""
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _read(ctx: click.Context, param: click.Parameter, values: Iterable[str]) -> dict[str, str]:  # noqa: ARG001 - click's
    found: dict[str, str] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        found[key] = value
    return found
