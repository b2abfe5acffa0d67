"""Train, measure, register, predict: several DAGs around a repo of models, with provenance from end to end.

* `model_training` starts when there are new trips or new parameters. It trains a model for each set of parameters,
  measures all of them on trips that none was trained on, and puts the best into `registry@candidate`. If it is
  better than the registered one, the branch `registry@production` is moved to it, and the commit gets a tag that stays.
* `model_inference` starts when there are new requests or another registered model. A new file of requests is one
  datum; a new model makes all predictions anew.

A model is rolled back by moving a branch: `pachy create branch registry@production --head v1`.

With MODEL_REGISTRY_RUNNER=kubernetes the code runs in the image of `model_registry_code/Dockerfile`, named by
MODEL_REGISTRY_IMAGE.
"""

import json
import os
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_pachy.assets import pfs_asset
from airflow_pachy.hooks import PfsHook
from airflow_pachy.operators import DatumMapOperator

RUNNER = os.environ.get("MODEL_REGISTRY_RUNNER", "local")
IMAGE = os.environ.get("MODEL_REGISTRY_IMAGE", "airflow-pachy-model-registry:local")
CODE = Path(__file__).resolve().parent / "model_registry_code" if RUNNER == "local" else Path("/code")
DAG_SETTINGS = {"catchup": False, "max_active_runs": 1, "tags": ["pachy", "example"], "doc_md": __doc__}


def stage(name: str, script: str, inputs: list[dict], output: str, **arguments) -> DatumMapOperator:
    """A stage of user's code that reads the cross of `inputs`."""
    return DatumMapOperator(
        name,
        input={"cross": [{"pfs": one} for one in inputs]},
        image=IMAGE,
        cmds=["python3", str(CODE / script)],
        output=output,
        datum_set={"number": 100},
        runner=RUNNER,
        **arguments,
    )


@task.short_circuit
def is_better(candidate: dict) -> bool:
    """Whether the candidate is nearer to the truth than the registered model, or the first."""
    with PfsHook().get_conn() as pfs:
        if not any(branch.name == "production" for branch in pfs.list_branches("registry")):
            return True
        new, registered = (
            json.loads(pfs.get_file(f"registry@{ref}:/score.json"))["rmse_minutes"]
            for ref in (candidate["commit"], "production")
        )
    print(f"the candidate is off by {new} minutes, the registered model by {registered}")
    return new < registered


@task(inlets=[pfs_asset("registry@candidate")], outlets=[pfs_asset("registry@production")])
def register(candidate: dict) -> str:
    """Make the candidate the registered model; returns its tag."""
    commit = f"registry@{candidate['commit']}"
    with PfsHook().get_conn() as pfs:
        tag = f"v{1 + max((int(one.name[1:]) for one in pfs.list_tags('registry')), default=0)}"
        with pfs.transaction():  # nobody sees one without the other
            pfs.tag_commit(commit, tag)
            pfs.create_branch("registry@production", head=commit)
        return tag


with DAG("model_training", schedule=(pfs_asset("trips@master") | pfs_asset("params@master")), **DAG_SETTINGS):
    train = stage(
        "train", "train.py", [{"repo": "trips", "glob": "/"}, {"repo": "params", "glob": "/*"}], "candidates@master"
    )
    evaluate = stage(
        "evaluate",
        "evaluate.py",
        [{"repo": "candidates", "glob": "/*"}, {"repo": "holdout", "glob": "/"}],
        "scores@master",
    )
    select = stage(
        "select",
        "select_best.py",
        [{"repo": "candidates", "glob": "/"}, {"repo": "scores", "glob": "/"}],
        "registry@candidate",
    )
    train >> evaluate >> select
    is_better(select.output) >> register(select.output)

with DAG("model_inference", schedule=(pfs_asset("requests@master") | pfs_asset("registry@production")), **DAG_SETTINGS):
    stage(
        "predict",
        "predict.py",
        [{"repo": "requests", "glob": "/*.csv"}, {"repo": "registry", "branch": "production", "glob": "/"}],
        "predictions@master",
        new_only=True,
    )
