"""Development, staging and production: one template of pipelines, and a branch of the data for each.

    pachy create repo reviews
    pachy put file reviews@dev:/may.txt -f may.txt

starts `stars-dev`, which writes `stars@dev`; nobody else sees it. What has proved good is promoted by moving branches:
data with `pachy create branch reviews@prod --head dev`, code by changing its version in ENVIRONMENTS.

`stars_of_branch` is the same pipeline for whatever branch a run names: for the branch of a feature, or to try data that
somebody has sent.

With ENVIRONMENTS_RUNNER=kubernetes the code runs in the image of `environments_code/Dockerfile`.
"""

import os
from pathlib import Path

from airflow.sdk import DAG

from airflow_pachy.dags import load_pipelines
from airflow_pachy.operators import DatumMapOperator

ENVIRONMENTS = {"dev": "1.1", "stage": "1.0", "prod": "1.0"}
"""The version of the code, which is the tag of its image, in each of them."""

HERE = Path(__file__).resolve().parent
RUNNER = os.environ.get("ENVIRONMENTS_RUNNER", "local")
WORKING_DIR = str(HERE / "environments_code") if RUNNER == "local" else "/code"

for env, version in ENVIRONMENTS.items():
    globals().update(
        load_pipelines(
            HERE / "pipelines" / "environments",
            template_arguments={"env": env, "version": version},
            stage={"runner": RUNNER, "working_dir": WORKING_DIR},
            tags=["pachy", "example", env],
            doc_md=__doc__,
        )
    )

with DAG(
    "stars_of_branch",
    schedule=None,
    params={"branch": "dev", "version": ENVIRONMENTS["dev"]},
    tags=["pachy", "example"],
    doc_md=__doc__,
):
    DatumMapOperator(
        "stars",
        input={"pfs": {"repo": "reviews", "branch": "{{ params.branch }}", "glob": "/*.txt"}},
        image="airflow-pachy-environments:{{ params.version }}",
        cmds=["python3", "stars.py"],
        working_dir=WORKING_DIR,
        output="stars@{{ params.branch }}",
        datum_set={"number": 1000},
        code_version="{{ params.version }}",
        runner=RUNNER,
    )
