"""Measurements as a table for people and as JSON for later comparison."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.measure import Measurement


def print_table(title: str, measurements: Sequence[Measurement], *, baseline: str) -> None:
    """A row per measurement; ratios are against `baseline`'s same operation.

    SECONDS is the whole process, INSIDE without start-up and imports, CPU what it used of the processors.
    """
    # Imported late: what this process has in memory is the floor of what the measured ones seem to need.
    from rich.console import Console
    from rich.table import Table

    base = {m.operation: m.seconds for m in measurements if m.system == baseline}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("OPERATION", no_wrap=True)
    table.add_column("SYSTEM", no_wrap=True)
    for heading in ("SECONDS", f"x {baseline}".upper(), "INSIDE", "CPU", "REQUESTS", "MEMORY"):
        table.add_column(heading, justify="right", no_wrap=True)
    for measured in sorted(measurements, key=lambda m: _order(m, measurements)):
        table.add_row(*_cells(measured, base.get(measured.operation)))
    print(f"\n{title}")
    Console(highlight=False).print(table)


def write_json(path: Path, settings: dict[str, object], measurements: Sequence[Measurement]) -> None:
    """Everything measured, with what it was measured on."""
    document = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "settings": settings,
        "measurements": [asdict(measured) for measured in measurements],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def _order(measured: Measurement, all_of_them: Sequence[Measurement]) -> int:
    """Operations in the order in which they first ran, systems in the order in which they ran them."""
    return next(i for i, other in enumerate(all_of_them) if other.operation == measured.operation)


def _cells(measured: Measurement, base_seconds: float | None) -> list[str]:
    return [
        measured.operation,
        measured.system,
        f"{measured.seconds:.2f}",
        "-" if base_seconds is None else f"{measured.seconds / base_seconds:.1f}",
        "-" if measured.inside_seconds is None else f"{measured.inside_seconds:.2f}",
        f"{measured.cpu_seconds:.2f}",
        "-" if measured.requests is None else f"{measured.requests:,}",
        f"{measured.peak_memory_bytes / 2**20:.0f} MiB",
    ]
