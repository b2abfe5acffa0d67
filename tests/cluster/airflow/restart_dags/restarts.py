"""Stages whose datums end when a server says so: until then the test may look at pods, and kill what it likes."""

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_pachy.operators import DatumMapOperator

SCRIPT = """
f=$(echo /pfs/words/*)
case $f in */d) until wget -q -O /dev/null "$GATE"; do sleep 1; done;; esac
tr a-z A-Z <"$f" >"/pfs/out/${f##*/}"
echo "did ${f##*/}"
"""

CAPPED = """
until wget -q -O /dev/null "$GATE"; do sleep 1; done
f=$(echo /pfs/words/*)
tr a-z A-Z <"$f" >"/pfs/out/${f##*/}"
"""


def stage(name, script, gate, **arguments):
    return DatumMapOperator(
        name,
        input={"pfs": {"repo": "words", "glob": "/*"}},
        output=f"{name}@master",
        image=os.environ.get("STAGE_IMAGE", "busybox:local"),
        cmds=["sh", "-ec", script],
        env_vars={"GATE": f"{os.environ['GATE_URL']}/{gate}"},
        container_resources={"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        runner="kubernetes",
        retries=9,
        retry_delay=timedelta(seconds=1),
        **arguments,
    )


with DAG("restarts", schedule=None):
    for name, deferrable in (("waiting", False), ("deferred", True)):
        stage(name, SCRIPT, "restarts", datum_set={"number": 10}, deferrable=deferrable)

with DAG("capped", schedule=None):
    stage("capped", CAPPED, "capped", datum_set={"number": 1}, parallelism=2)
