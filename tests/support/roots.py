"""What a whole root says, to be compared with another."""

from sqlalchemy import select

from airflow_pachy.metadata.models import Base

OF_THE_PLACE = {"pachy_object", "pachy_removed_tree", "pachy_standing"}


def everything(pfs):
    """All rows by table, but those that belong to the place and not to the root."""
    with pfs.metadata.reader() as session:
        return {
            table.name: sorted(repr(dict(row)) for row in session.execute(select(table)).mappings())
            for table in Base.metadata.sorted_tables
            if table.name not in OF_THE_PLACE
        }
