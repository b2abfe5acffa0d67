"""Deferred processing: data gathers on a branch of its own, and is processed when it is released.

    pachy create repo samples
    pachy put file samples@staging:/ -f batch-000.jsonl

Any number of commits to `samples@staging` start nothing, since the DAG `deferred` reads `samples@master`. The DAG
`deferred_release` looks at what has gathered, every night or when a person starts it, and points `master` at it: then
`deferred` runs, once, for all that is new.

With DEFERRED_RUNNER=kubernetes the code runs in the image of `deferred_code/Dockerfile`, named by DEFERRED_IMAGE.
"""

import json
import os
from pathlib import Path

import pendulum
from airflow.sdk import DAG, task

from airflow_pachy.assets import pfs_asset
from airflow_pachy.hooks import PfsHook
from airflow_pachy.operators import DatumMapOperator, PfsBranchOperator

RUNNER = os.environ.get("DEFERRED_RUNNER", "local")
IMAGE = os.environ.get("DEFERRED_IMAGE", "airflow-pachy-deferred:local")
CODE = Path(__file__).resolve().parent / "deferred_code" if RUNNER == "local" else Path("/code")

with DAG(
    "deferred",
    schedule=[pfs_asset("samples@master")],
    catchup=False,
    max_active_runs=1,
    tags=["pachy", "example"],
    doc_md=__doc__,
):
    DatumMapOperator(
        "weights",
        input={"pfs": {"repo": "samples", "glob": "/*.jsonl"}},
        image=IMAGE,
        cmds=["python3", str(CODE / "weigh.py")],
        output="weights@master",
        datum_set={"number": 1000},
        runner=RUNNER,
    )


@task.short_circuit(inlets=[pfs_asset("samples@staging")])
def check() -> str | None:
    """The commit on `staging` if all its files are whole: what was checked is released, whatever comes meanwhile.

    None, and nothing is released, if nothing has gathered.
    """
    with PfsHook().get_conn() as pfs:
        staged = pfs.inspect_branch("samples@staging").head
        # `master` is not there before the first release.
        released = next((one.head for one in pfs.list_branches("samples") if one.name == "master"), None)
        if staged is None or staged == released:
            return None
        address = f"samples@{staged}"
        for file in pfs.glob_file(address, "/*.jsonl"):
            for number, line in enumerate(pfs.get_file(f"{address}:{file.path}").decode().splitlines(), start=1):
                if not {"label", "grams"} <= json.loads(line).keys():
                    raise ValueError(f"{address}:{file.path}, line {number} has no label or no weight: {line}")
        return address


with DAG(
    "deferred_release",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2024, 5, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["pachy", "example"],
    doc_md=__doc__,
):
    PfsBranchOperator(task_id="release", branch="samples@master", head=check())
