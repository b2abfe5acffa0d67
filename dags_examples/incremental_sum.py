"""Balances of accounts that grow day by day, without reading old bookings again: an incremental pipeline.

    pachy create repo bookings
    pachy put file bookings@master:/ -f 2024-05-01.csv

`balances` has one datum, the whole repo. As its spec says `incremental`, the code finds in /pfs/bookings only files
that are new or have changed, and in /pfs/out what it wrote the last time.

With INCREMENTAL_SUM_RUNNER=kubernetes the code runs in the image of `incremental_sum_code/Dockerfile`.
"""

import os
from pathlib import Path

from airflow_pachy.dags import pipeline_dag

HERE = Path(__file__).resolve().parent
RUNNER = os.environ.get("INCREMENTAL_SUM_RUNNER", "local")
WORKING_DIR = str(HERE / "incremental_sum_code") if RUNNER == "local" else "/code"

dag = pipeline_dag(
    HERE / "pipelines" / "incremental_sum" / "balances.yaml",
    dag_id="incremental_sum",
    stage={"runner": RUNNER, "working_dir": WORKING_DIR},
    tags=["pachy", "example"],
    doc_md=__doc__,
)
