"""One stage in three ways: local processes, pods with a worker that waits, pods with the triggerer."""

import os

from airflow.sdk import DAG

from airflow_pachy.operators import DatumMapOperator

IMAGE = os.environ.get("STAGE_IMAGE", "busybox:local")
WORDS = {"pfs": {"repo": "words", "glob": "/*"}}
UPPER = """
for f in /pfs/words/*; do
  mkdir -p /pfs/out/deep
  tr a-z A-Z <"$f" >"/pfs/out/deep/$(basename "$f")"
  echo "$(basename "$f") done"
done
"""
RUNNERS = {
    "local": {"runner": "local"},
    "sync": {"runner": "kubernetes", "deferrable": False},
    "deferred": {"runner": "kubernetes", "deferrable": True},
}


def stage(name, script, runner, **arguments):
    return DatumMapOperator(
        name,
        input=WORDS,
        output=f"{name}@master",
        image=IMAGE,
        cmds=["sh", "-ec", script],
        datum_set={"number": 2},
        container_resources={"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        retries=0,
        **RUNNERS[runner],
        **arguments,
    )


for runner in RUNNERS:
    with DAG(f"upper_{runner}", schedule=None):
        stage(f"upper_{runner}", UPPER, runner)

for runner in ("sync", "deferred"):
    with DAG(f"exit3_{runner}", schedule=None):
        stage(
            f"exit3_{runner}",
            "if [ -e /pfs/words/b ]; then echo b is bad; exit 3; fi; cp /pfs/words/* /pfs/out",
            runner,
            datum_tries=1,
        )

with DAG("no_image", schedule=None):
    DatumMapOperator(
        "no_image",
        input=WORDS,
        output="no_image@master",
        image="no-such-image:local",
        cmds=["true"],
        datum_set={"number": 10},
        runner="kubernetes",
        retries=0,
    )
