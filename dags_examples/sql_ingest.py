"""Every day's orders from a SQL database, as versioned Parquet files, and what is computed from them.

`sql_ingest` runs once a day. It asks the database for the orders of the day that has ended, and commits them as one
file, which has the day's name: clearing a run, or backfilling a month, replaces files and doubles nothing. Each of
these commits starts `sql_revenue`, which processes the days whose orders are new or have changed.

The database is any that Airflow has a connection for; SQL_INGEST_CONN names it, `shop_db` if not set. With
SQL_INGEST_RUNNER=kubernetes `revenue` runs in the image of `sql_ingest_code/Dockerfile`, named by SQL_INGEST_IMAGE.
"""

import os
from pathlib import Path
from tempfile import TemporaryFile

import pendulum
from airflow.sdk import DAG, BaseHook, task

from airflow_pachy.assets import pfs_asset
from airflow_pachy.hooks import PfsHook
from airflow_pachy.operators import DatumMapOperator

RUNNER = os.environ.get("SQL_INGEST_RUNNER", "local")
IMAGE = os.environ.get("SQL_INGEST_IMAGE", "airflow-pachy-sql-ingest:local")
CONNECTION = os.environ.get("SQL_INGEST_CONN", "shop_db")
CODE = Path(__file__).resolve().parent / "sql_ingest_code" if RUNNER == "local" else Path("/code")

# Both ends are texts: SQLite keeps times as such, and PostgreSQL reads them.
QUERY = """
    SELECT id, product, quantity, price_cents FROM orders
    WHERE placed >= :begin AND placed < :end
    ORDER BY id
"""
ROWS_AT_ONCE = 10_000


@task(outlets=[pfs_asset("orders@master")])
def ingest(data_interval_end=None) -> str:
    """Commit the orders of the day before the run's date, or before today; returns the commit's address."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from sqlalchemy import text

    # Written down, so that a day without orders has the columns too, and a change in the database fails here.
    schema = pa.schema({"id": pa.int64(), "product": pa.string(), "quantity": pa.int32(), "price_cents": pa.int64()})
    day = (data_interval_end or pendulum.now("UTC")).start_of("day").subtract(days=1)
    interval = {"begin": day.to_datetime_string(), "end": day.add(days=1).to_datetime_string()}
    engine = BaseHook.get_hook(CONNECTION).get_sqlalchemy_engine()
    with TemporaryFile() as file, engine.connect() as database, PfsHook().get_conn() as pfs:
        with pq.ParquetWriter(file, schema) as parquet:
            rows = database.execution_options(yield_per=ROWS_AT_ONCE).execute(text(QUERY), interval)
            for some in rows.mappings().partitions(ROWS_AT_ONCE):
                parquet.write_table(pa.Table.from_pylist([dict(row) for row in some], schema))
        file.seek(0)
        with pfs.commit("orders@master", description=f"orders of {day.to_date_string()}") as commit:
            commit.put_file(f"/{day.to_date_string()}.parquet", file)
        return str(commit)


with DAG(
    "sql_ingest",
    schedule="@daily",
    start_date=pendulum.datetime(2024, 5, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["pachy", "example"],
    doc_md=__doc__,
):
    ingest()

with DAG(
    "sql_revenue",
    schedule=[pfs_asset("orders@master")],
    catchup=False,
    max_active_runs=1,
    tags=["pachy", "example"],
    doc_md=__doc__,
):
    DatumMapOperator(
        "revenue",
        input={"pfs": {"repo": "orders", "glob": "/*.parquet"}},
        image=IMAGE,
        cmds=["python3", str(CODE / "revenue.py")],
        output="revenue@master",
        datum_set={"number": 31},
        new_only=True,
        runner=RUNNER,
    )
