"""The best of many settings: a curve is fitted with every combination of degree and penalty, and the best is kept.

Settings are files, so a grid is a cross: of the data with every file in `/degree` and every file in `/penalty`. One
more setting makes datums only of its own combinations; other data makes all of them new.

    pachy create repo grid_data
    pachy create repo grid_settings

On Kubernetes, with GRID_RUNNER=kubernetes, the code runs in the image of `grid_code/Dockerfile`, whose name is in
GRID_IMAGE: Python and numpy.
"""

import os
from pathlib import Path

from airflow.sdk import DAG

from airflow_pachy.assets import pfs_asset
from airflow_pachy.operators import DatumMapOperator

RUNNER = os.environ.get("GRID_RUNNER", "local")
IMAGE = os.environ.get("GRID_IMAGE", "airflow-pachy-grid:local")
CODE = Path(__file__).resolve().parent / "grid_code" if RUNNER == "local" else Path("/code")

with DAG(
    "grid",
    schedule=(pfs_asset("grid_data@master") | pfs_asset("grid_settings@master")),
    catchup=False,
    max_active_runs=1,
    tags=["pachy", "example"],
    doc_md=__doc__,
):
    models = DatumMapOperator(
        "grid_models",
        input={
            "cross": [
                {"pfs": {"repo": "grid_data", "glob": "/"}},
                {"pfs": {"repo": "grid_settings", "name": "degree", "glob": "/degree/*"}},
                {"pfs": {"repo": "grid_settings", "name": "penalty", "glob": "/penalty/*"}},
            ]
        },
        image=IMAGE,
        cmds=["python3", str(CODE / "fit.py")],
        output="grid_models@master",
        # Each fit takes milliseconds, so that up to a hundred share a pod; hours would want a pod each.
        datum_set={"number": 100},
        runner=RUNNER,
    )
    best = DatumMapOperator(
        "grid_best",
        input={"pfs": {"repo": "grid_models", "glob": "/"}},
        image=IMAGE,
        cmds=["python3", str(CODE / "best.py")],
        output="grid_best@master",
        runner=RUNNER,
    )
    models >> best
