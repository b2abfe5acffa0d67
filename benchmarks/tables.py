"""Measurements as a table for people and as JSON for later comparison."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.measure import Measurement

_HEADINGS = ("SECONDS", "x BARE", "x OURS", "INSIDE", "CPU", "REQUESTS", "SENT", "RECEIVED", "MEMORY")


def print_table(title: str, measurements: Sequence[Measurement]) -> None:
    """A row for each system's operation: medians of the rounds, ratios as medians of the ratios within a round.

    SECONDS is the whole process, INSIDE without imports, CPU what it used of the processors.
    """
    # Imported late: what this process has in memory is the floor of what the measured ones seem to need.
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("OPERATION", no_wrap=True)
    table.add_column("SYSTEM", no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    operations = list(dict.fromkeys(measured.operation for measured in measurements))
    systems = list(dict.fromkeys(measured.system for measured in measurements))
    for operation in operations:
        for system in systems:
            if rounds := [one for one in measurements if (one.operation, one.system) == (operation, system)]:
                table.add_row(operation, system, *_cells(rounds, measurements))
    print(f"\n{title}")
    Console(highlight=False, width=160).print(table)


def write_json(path: Path, settings: dict[str, object], measurements: Sequence[Measurement]) -> None:
    """Everything measured, with what it was measured on."""
    document = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "settings": settings,
        "measurements": [asdict(measured) for measured in measurements],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def _cells(rounds: Sequence[Measurement], all_of_them: Sequence[Measurement]) -> list[str]:
    return [
        _seconds(one.seconds for one in rounds),
        _ratio(rounds, all_of_them, "bare"),
        _ratio(rounds, all_of_them, "ours"),
        _seconds(one.inside_seconds for one in rounds),
        _seconds(one.cpu_seconds for one in rounds),
        _number((one.requests for one in rounds), "{:,.0f}"),
        _number((one.sent_bytes for one in rounds), "{:,.1f} MiB", 2**20),
        _number((one.received_bytes for one in rounds), "{:,.1f} MiB", 2**20),
        f"{max(one.peak_memory_bytes for one in rounds) / 2**20:.0f} MiB",
    ]


def _seconds(values: Iterable[float | None]) -> str:
    """Hundredths; thousandths of what takes less than a tenth."""
    known = [value for value in values if value is not None]
    return _number(known, "{:.3f}" if known and statistics.median(known) < 0.1 else "{:.2f}")


def _number(values: Iterable[float | None], form: str, unit: int = 1) -> str:
    known = [value for value in values if value is not None]
    return form.format(statistics.median(known) / unit) if known else "-"


def _ratio(rounds: Sequence[Measurement], all_of_them: Sequence[Measurement], baseline: str) -> str:
    bases = {one.run: one for one in all_of_them if (one.operation, one.system) == (rounds[0].operation, baseline)}
    return _number((one.seconds / bases[one.run].seconds for one in rounds if one.run in bases), "{:.2f}")
