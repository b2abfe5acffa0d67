"""Files that belong together by their names: joins, an outer join and groups over a shop's and a laboratory's files.

The pipelines are specs in `pipelines/joins/`, and all of them together are one DAG: one run takes a commit through
every pipeline that reads it. Their code lies in `joins_code/`; on Kubernetes, with JOINS_RUNNER=kubernetes, it is in
the image of `joins_code/Dockerfile`, whose name goes into the specs.
"""

import os
from pathlib import Path

from airflow_pachy.dags import pipelines_dag

HERE = Path(__file__).resolve().parent
RUNNER = os.environ.get("JOINS_RUNNER", "local")
# The specs say `python3 revenue.py`: in the image the working directory is where the code is, here it is this.
PLACE = {"working_dir": str(HERE / "joins_code")} if RUNNER == "local" else {}

joins = pipelines_dag(
    HERE / "pipelines" / "joins",
    dag_id="joins",
    # Datums are small and quick, so that up to a hundred share a pod.
    stage={"runner": RUNNER, "datum_set": {"number": 100}, **PLACE},
    tags=["pachy", "example"],
    doc_md=__doc__,
)
