"""Commands whose help shows examples, and the options that many commands share.

The examples are data (a tuple of command lines), so that a test can check that each of them parses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from airflow_pachy.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])

pass_session = click.make_pass_decorator(Session)


class ExampleCommand(click.Command):
    """A command that ends its help with examples, verbatim."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples after the options."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        super().format_epilog(ctx, formatter)


def command(*examples: str) -> Callable[[Callable[..., Any]], ExampleCommand]:
    """Make a function a command of the tree in `app.py`, which names it; it gets the `Session` as first argument."""

    def decorate(function: Callable[..., Any]) -> ExampleCommand:
        return click.command(cls=ExampleCommand, examples=examples)(pass_session(function))

    return decorate


def json_option(function: F) -> F:
    """`--json`: one JSON document per line, times in ISO 8601 UTC, sizes in bytes."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document per line.")(function)


def limit_option(function: F) -> F:
    """`--limit N`: stop after so many rows."""
    return click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N rows.")(function)


def after_option(what: str) -> Callable[[F], F]:
    """`--after KEY`: continue a list behind its last row of the page before."""

    def decorate(function: F) -> F:
        text = f"Continue behind this {what}: the last one of the page before."
        return click.option("--after", metavar=what.upper(), help=text)(function)

    return decorate
