"""Results into a SQL database: every commit of totals becomes the rows of two tables, in one transaction.

    pachy create repo receipts
    pachy put file receipts@master:/ -r -f receipts/

`totals` runs once for each new file of receipts and writes `/pfs/out/<table>/...`; its last step, `egress`, puts the
rows into the tables of these names. Readers of the database see the old rows or the new ones. The tables must exist.

SQL_EGRESS_URL is the database: `postgresql://loader@warehouse/shop`, with the password in the Airflow connection that
SQL_EGRESS_CONN names. If it is not set, a SQLite file in Airflow's home is. With SQL_EGRESS_RUNNER=kubernetes the code
runs in the image of `sql_egress_code/Dockerfile`, named by SQL_EGRESS_IMAGE, which knows nothing of the database.
"""

import os
from pathlib import Path

from airflow.sdk import DAG

from airflow_pachy.assets import pfs_asset
from airflow_pachy.operators import DatumMapOperator

RUNNER = os.environ.get("SQL_EGRESS_RUNNER", "local")
IMAGE = os.environ.get("SQL_EGRESS_IMAGE", "airflow-pachy-sql-egress:local")
HOME = os.environ.get("AIRFLOW_HOME", Path.home() / "airflow")
CODE = Path(__file__).resolve().parent / "sql_egress_code" if RUNNER == "local" else Path("/code")

with DAG(
    "sql_egress",
    schedule=[pfs_asset("receipts@master")],
    params={"database": os.environ.get("SQL_EGRESS_URL", f"sqlite:///{HOME}/warehouse.db")},
    catchup=False,
    max_active_runs=1,
    tags=["pachy", "example"],
    doc_md=__doc__,
):
    DatumMapOperator(
        "totals",
        input={"pfs": {"repo": "receipts", "glob": "/*/*.csv"}},
        image=IMAGE,
        cmds=["python3", str(CODE / "totals.py")],
        output="totals@master",
        datum_set={"number": 1000},
        egress={"sql_database": {"url": "{{ params.database }}", "file_format": {"type": "CSV"}}},
        egress_conn_id=os.environ.get("SQL_EGRESS_CONN"),
        runner=RUNNER,
    )
