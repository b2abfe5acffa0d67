"""File contents: inline bytes, packs and chunks of large files.

Names load on first use: who reads does not need what cuts and packs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.pfs.content.hashing import hash_bytes
    from airflow_pachy.pfs.content.reader import ContentReader
    from airflow_pachy.pfs.content.writer import ContentWriter

__all__ = ["ContentReader", "ContentWriter", "hash_bytes"]

_HOMES = {"ContentReader": "reader", "ContentWriter": "writer", "hash_bytes": "hashing"}

__getattr__, __dir__ = exports(__name__, _HOMES)
