"""The Airflow plugin. Its module is imported by every Airflow process, so it imports nothing but the base class."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class _Apps:
    """The applications for the API server, which alone asks for them: made when it does."""

    def __get__(self, plugin: object, owner: type | None = None) -> list[Any]:
        from airflow_pachy.hooks.airflow_config import conf

        secret = conf.get("pachy", "webhook_secret", fallback="")
        if not secret:
            return []
        from airflow_pachy.plugin.webhook import PREFIX, webhook_app

        return [{"app": webhook_app(secret), "url_prefix": PREFIX, "name": "Pachy webhooks"}]


class PachyPlugin(AirflowPlugin):
    """Announces the provider to Airflow's plugin list, and receives webhooks of git servers."""

    name = "pachy"
    fastapi_apps: Any = _Apps()
