"""The newest version of the tables, and where a database says which version its own are of."""

VERSION_TABLE = "pachy_alembic_version"
HEAD_REVISION = "0001"
"""The newest migration. A test holds it to what is in `migrations/versions`."""
