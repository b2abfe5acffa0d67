"""What Airflow knows of a Kubernetes connection."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseHook

from airflow_pachy.hooks.airflow_errors import AirflowNotFoundException


def connection_extras(conn_id: str | None) -> dict[str, Any] | None:
    """The connection's extra, which the triggerer may have no right to read; None if there is no such connection."""
    if not conn_id:
        return None
    try:
        extras: dict[str, Any] = BaseHook.get_connection(conn_id).extra_dejson
    except AirflowNotFoundException:
        return None
    return extras
