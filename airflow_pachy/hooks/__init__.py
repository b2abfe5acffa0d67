"""Airflow hooks: the `pachy` connection as a `Pfs` client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.hooks.pfs import PfsHook

__all__ = ["PfsHook"]

_HOMES = {"PfsHook": "pfs"}

__getattr__, __dir__ = exports(__name__, _HOMES)
