"""The `pachy` command: `pachy <verb> <noun>`, with the verbs and nouns of pachctl.

Nothing but click is imported until a command runs, so that `--help` and shell completion answer at once.
"""

from __future__ import annotations

import atexit
import gc
from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.cli.app import cli

__all__ = ["cli", "main"]

_GC_THRESHOLD = 100_000

__getattr__, __dir__ = exports(__name__, {"cli": "app"})


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (`sys.argv`'s by default); returns 0, 1 (failed), 2 (wrong usage) or 130 (interrupted)."""
    # Nearly all that a command allocates, most of it modules, stays until the process ends. Looking for garbage in it
    # again and again, and once more at the end, would take a fifth of a short command's time.
    gc.set_threshold(_GC_THRESHOLD)
    atexit.register(gc.freeze)
    from airflow_pachy.cli.app import main as run

    return run(args)
