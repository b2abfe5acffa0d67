"""Train a model on measured flowers, and name the species of others: training and inference as one Airflow DAG.

`iris_model` is trained again when there is new training data. `iris_species` reads a cross: every file of flowers with
the model. A new file is one new datum; a new model makes every datum new, so that no prediction of an old model stays.

    pachy create repo iris_training
    pachy create repo iris_attributes

On Kubernetes, with IRIS_RUNNER=kubernetes, the code runs in the image of `iris_code/Dockerfile`, whose name is in
IRIS_IMAGE: Python without any package.
"""

import os
from pathlib import Path

from airflow.sdk import DAG

from airflow_pachy.assets import pfs_asset
from airflow_pachy.operators import DatumMapOperator

RUNNER = os.environ.get("IRIS_RUNNER", "local")
IMAGE = os.environ.get("IRIS_IMAGE", "airflow-pachy-iris:local")
CODE = Path(__file__).resolve().parent / "iris_code" if RUNNER == "local" else Path("/code")

with DAG(
    "iris",
    schedule=(pfs_asset("iris_training@master") | pfs_asset("iris_attributes@master")),
    catchup=False,
    max_active_runs=1,
    tags=["pachy", "example"],
    doc_md=__doc__,
):
    model = DatumMapOperator(
        "iris_model",
        input={"pfs": {"repo": "iris_training", "glob": "/"}},
        image=IMAGE,
        cmds=["python3", str(CODE / "train.py")],
        output="iris_model@master",
        runner=RUNNER,
    )
    species = DatumMapOperator(
        "iris_species",
        input={
            "cross": [
                {"pfs": {"repo": "iris_attributes", "glob": "/*"}},
                {"pfs": {"repo": "iris_model", "glob": "/"}},
            ]
        },
        image=IMAGE,
        cmds=["python3", str(CODE / "infer.py")],
        output="iris_species@master",
        runner=RUNNER,
    )
    model >> species
