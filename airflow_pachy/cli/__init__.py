"""The `pachy` command: `pachy <verb> <noun>`, with the verbs and nouns of pachctl.

Nothing but click is imported until a command runs, so that `--help` and shell completion answer at once.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.cli.app import cli

__all__ = ["cli", "main", "program"]

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


def program() -> NoReturn:
    """Be the `pachy` program: run `main`, and end the process with the code that it returns."""
    code: list[int] = []
    # What is registered first is called last, after threads were waited for. Others may have been before us, such as
    # the measuring of test coverage; then the process ends as usual.
    if not atexit._ncallbacks():  # noqa: SLF001 - there is no other way to know
        atexit.register(_leave, code)
    code.append(main())
    sys.exit(code[0])


def _leave(code: list[int]) -> None:
    """End the process without taking its modules apart, which takes longer than giving its memory back at once."""
    if not code:
        return  # something was raised, and Python says what
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # Python tries again, and says what is wrong
    os._exit(code[0])
