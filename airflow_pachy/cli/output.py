"""What commands print: tables for people, one JSON document per line for programs.

A list may be a million rows long, so rows are printed in pages while they arrive: memory stays flat, the
first rows appear at once, and `pachy list file ... | head` ends quickly. A column keeps the width of its
widest cell so far. Cells are never wrapped or cut, so that a row stays one line for grep and awk.
"""

from __future__ import annotations

import dataclasses
import json
from datetime import date, datetime
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


T = TypeVar("T")

PAGE_ROWS = 500
_GAP = 2
_STATE_COLOURS = {
    "finished": "green",
    "success": "green",
    "skipped": "cyan",
    "recovered": "yellow",
    "running": "blue",
    "open": "blue",
    "error": "red",
    "failed": "red",
    "stopped": "red",
}


def print_list(
    items: Iterable[T],
    columns: Sequence[tuple[str, Callable[[T], str]]],
    *,
    as_json: bool,
    limit: int | None = None,
    headings: bool = True,
) -> None:
    """Print items as a table with these (heading, cell) columns, or as JSON lines; at most `limit` of them."""
    chosen = islice(items, limit)
    if as_json:
        for item in chosen:
            print_json(item)
        return
    names = [name for name, _ in columns]
    widths = [len(name) for name in names]
    untold = headings
    for page in _pages(chosen):
        rows = [[_one_line(cell(item)) for _, cell in columns] for item in page]
        widths = [max(width, *(_width(row[i]) for row in rows)) for i, width in enumerate(widths)]
        if untold:
            _print_rows([names], widths, heading=True)
            untold = False
        _print_rows(rows, widths)
    if untold:
        _print_rows([names], widths, heading=True)


def print_fields(item: Any, fields: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    """Print one thing as `Name: value` lines (empty values are left out), or as one JSON document."""
    if as_json:
        print_json(item)
        return
    width = max(len(name) for name, _ in fields) + 1
    for name, value in fields:
        if value:
            click.echo(f"{name + ':':<{width}} {value}")


def print_json(item: Any) -> None:
    """Print one JSON document on one line."""
    click.echo(json.dumps(item, default=_plain, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """What `json` cannot write by itself: our value objects, times, hashes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def _one_line(cell: str) -> str:
    """A cell stays in its line, also a file name with a line break in it."""
    return cell if cell.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in cell)


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while page := list(islice(iterator, PAGE_ROWS)):
        yield page


def _width(cell: str) -> int:
    """Columns of the terminal that a cell takes."""
    if cell.isascii():
        return len(cell)
    from rich.cells import cell_len

    return cell_len(cell)


def _print_rows(rows: Iterable[list[str]], widths: list[int], *, heading: bool = False) -> None:
    """One line each, the last column unpadded. click leaves the colours out where there is no terminal."""
    lines: list[str] = []
    for row in rows:
        padded = [cell + " " * (width - _width(cell) + _GAP) for cell, width in zip(row, widths, strict=True)]
        padded[-1] = row[-1]
        lines.append("".join(_styled(cell, heading=heading) for cell in padded).rstrip())
    click.echo("\n".join(lines))


def _styled(cell: str, *, heading: bool) -> str:
    colour = _STATE_COLOURS.get(cell.strip())
    return click.style(cell, bold=True) if heading else click.style(cell, fg=colour) if colour else cell
