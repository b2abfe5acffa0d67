"""The Airflow plugin. Its module is imported by every Airflow process, so it imports nothing but the base class."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class PachyPlugin(AirflowPlugin):
    """Announces the provider to Airflow's plugin list."""

    name = "pachy"
