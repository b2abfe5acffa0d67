"""A service and a spout, as their specs make them; runs are started by hand."""

from datetime import timedelta

from airflow_pachy.dags import pipeline_dag

SMALL = {"resource_requests": {"cpu": 0.02, "memory": "16Mi"}, "resource_limits": {"memory": "64Mi"}}
SERVE = {
    "pipeline": {"name": "site"},
    "input": {"pfs": {"repo": "words", "glob": "/"}},
    "transform": {"image": "busybox:local", "cmd": ["httpd", "-f", "-p", "8080", "-h", "/pfs/words"]},
    "service": {"internal_port": 8080, "type": "ClusterIP"},
}
TICK = {
    "pipeline": {"name": "ticks"},
    "transform": {
        "image": "busybox:local",
        "cmd": ["sh"],
        "stdin": [
            "n=$(cat /pfs/last 2>/dev/null || echo 0)",
            "while n=$((n + 1)) && [ $n -le 3 ]; do",
            "  mkdir -p /tmp/batch && cd /tmp/batch && echo $n >last && echo tick $n >$n",
            "  tar -cf /pfs/out . && rm $n",
            "done",
            # As code of 2.x does.
            "if [ $n = 4 ]; then echo by pachctl | pachctl put file $PPS_PIPELINE_NAME@master:/put; fi",
            "sleep 1000",
        ],
    },
    "spout": {"marker": "last"},
}

site = pipeline_dag({**SERVE, **SMALL}, schedule=None)
ticks = pipeline_dag({**TICK, **SMALL}, schedule=None, stage={"run_for": timedelta(minutes=4), "poll_interval": 1.0})
