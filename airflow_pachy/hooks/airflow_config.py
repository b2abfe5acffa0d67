"""Airflow's configuration, which tasks and triggers read through the SDK since Airflow 3.2."""

from __future__ import annotations

try:
    from airflow.sdk.configuration import conf
except ImportError:  # Airflow 3.1
    from airflow.configuration import conf

__all__ = ["conf"]
