"""Where a user's system has room for what can be lost, and costs time when it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "PACHY_CACHE"


def cache_directory(environment: Mapping[str, str]) -> Path | None:
    """`$PACHY_CACHE`, else the place that the user's system has for such things; None if there is none."""
    if given := environment.get(VARIABLE):
        return Path(given).absolute()
    base = environment.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "airflow-pachy"
    try:
        return Path("~/.cache/airflow-pachy").expanduser()
    except RuntimeError:  # a user without a home
        return None
