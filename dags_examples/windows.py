"""Sales by month, in rolling windows of some days, and in the last of these: five pipelines from one Jsonnet template.

The template `pipelines/windows/sales.jsonnet` takes the number of days, here from WINDOWS_DAYS. All five pipelines are
one DAG, which starts when sales are committed. Their code is `windows_code/windows.py`; on Kubernetes, with
WINDOWS_RUNNER=kubernetes, it is in the image of `windows_code/Dockerfile`, whose name goes into the template.
"""

import os
from pathlib import Path

from airflow_pachy.dags import pipelines_dag
from airflow_pachy.pipelines import PipelineSpec

HERE = Path(__file__).resolve().parent
RUNNER = os.environ.get("WINDOWS_RUNNER", "local")
PLACE = {"working_dir": str(HERE / "windows_code")} if RUNNER == "local" else {}

windows = pipelines_dag(
    PipelineSpec.parse(
        HERE / "pipelines" / "windows" / "sales.jsonnet", arguments={"days": os.environ.get("WINDOWS_DAYS", "3")}
    ),
    dag_id="windows",
    # Datums are small and quick, so that up to a hundred share a pod.
    stage={"runner": RUNNER, "datum_set": {"number": 100}, **PLACE},
    tags=["pachy", "example"],
    doc_md=__doc__,
)
