"""Names and history in SQL: models, migrations, sessions. Nothing here knows what a tree is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.metadata.database import Metadata

__all__ = ["Metadata"]

# Loaded on first use: a client that only reads may do without SQLAlchemy.
__getattr__, __dir__ = exports(__name__, {"Metadata": "database"})
