"""Edge detection on every photo that is committed: the OpenCV tutorial of Pachyderm as one Airflow DAG.

A commit to `images@master` starts the DAG. `edges` runs once for each new or changed photo and skips all others;
`montage` puts photos and edges into one picture.

    pachy create repo images
    pachy put file images@master:/liberty.png -f liberty.png

On a laptop the scripts run from this folder as local processes. On Kubernetes, with OPENCV_RUNNER=kubernetes, they
run in the image of `opencv_code/Dockerfile`, whose name is in OPENCV_IMAGE, and which knows nothing of Airflow.
"""

import os
from pathlib import Path

from airflow.sdk import DAG

from airflow_pachy.assets import pfs_asset
from airflow_pachy.operators import DatumMapOperator

RUNNER = os.environ.get("OPENCV_RUNNER", "local")
IMAGE = os.environ.get("OPENCV_IMAGE", "airflow-pachy-opencv:local")
CODE = Path(__file__).resolve().parent / "opencv_code" if RUNNER == "local" else Path("/code")

with DAG(
    "opencv",
    schedule=[pfs_asset("images@master")],
    catchup=False,
    max_active_runs=1,
    tags=["pachy", "example"],
    doc_md=__doc__,
):
    edges = DatumMapOperator(
        "edges",
        input={"pfs": {"repo": "images", "glob": "/*"}},
        image=IMAGE,
        cmds=["python3", str(CODE / "edges.py")],
        output="edges@master",
        runner=RUNNER,
    )
    montage = DatumMapOperator(
        "montage",
        input={"cross": [{"pfs": {"repo": "images", "glob": "/"}}, {"pfs": {"repo": "edges", "glob": "/"}}]},
        image=IMAGE,
        cmds=["python3", str(CODE / "montage.py")],
        output="montage@master",
        runner=RUNNER,
    )
    edges >> montage
