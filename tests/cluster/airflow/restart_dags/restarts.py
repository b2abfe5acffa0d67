"""A stage whose last datum ends when a server says so: until then the test may kill what it likes."""

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

with DAG("restarts", schedule=None):
    for name, deferrable in (("waiting", False), ("deferred", True)):
        DatumMapOperator(
            name,
            input={"pfs": {"repo": "words", "glob": "/*"}},
            output=f"{name}@master",
            image=os.environ.get("STAGE_IMAGE", "busybox:local"),
            cmds=["sh", "-ec", SCRIPT],
            env_vars={"GATE": os.environ["GATE_URL"]},
            datum_set={"number": 10},
            container_resources={"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
            deferrable=deferrable,
            runner="kubernetes",
            retries=9,
            retry_delay=timedelta(seconds=1),
        )
