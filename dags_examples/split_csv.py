"""A large CSV file in pieces: append rows, and only the new pieces are processed.

    pachy create repo readings
    pachy put file readings@master:/stations -f readings.csv --split csv --header-records 1 --target-file-datums 1000

cuts the file into pieces of 1,000 rows. The pipelines of `pipelines/split_csv/` read each piece as a datum, with the
header on top, and then the results of all pieces.

On a laptop the code runs from `split_csv_code/`; with SPLIT_CSV_RUNNER=kubernetes in the image that the specs name.
"""

import os
from pathlib import Path

from airflow_pachy.dags import pipelines_dag

HERE = Path(__file__).resolve().parent
RUNNER = os.environ.get("SPLIT_CSV_RUNNER", "local")
STAGE = {"runner": "local", "working_dir": str(HERE / "split_csv_code")} if RUNNER == "local" else {"runner": RUNNER}

dag = pipelines_dag(
    HERE / "pipelines" / "split_csv",
    dag_id="split_csv",
    stage=STAGE,
    tags=["pachy", "example"],
    doc_md=__doc__,
)
