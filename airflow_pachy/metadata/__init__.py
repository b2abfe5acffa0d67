"""Names and history in SQL: models, migrations, sessions. Nothing here knows what a tree is."""

from airflow_pachy.metadata.database import Metadata

__all__ = ["Metadata"]
