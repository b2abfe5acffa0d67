"""Runs in a process of its own, with an Airflow home of its own: `dag.test()` for each request on standard input.

A request is a JSON line `{"dag": id, "conf": {...}, "logical_date": null or ISO 8601}`; the answer, a JSON line on the
file named by the first argument, has the state of the run and of every task, what the failed ones raised, and the
XCom of each.
"""

import json
import os
import sys
import traceback
from datetime import UTC, datetime
from importlib import util
from pathlib import Path

from airflow.models.xcom import XComModel
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.utils.session import create_session
from sqlalchemy import select


def load_dags(folder):
    for path in sorted(Path(folder).glob("*.py")):
        spec = util.spec_from_file_location(path.stem, path)
        module = sys.modules[path.stem] = util.module_from_spec(spec)
        # What Airflow's DAG processor does to find DAGs that no variable holds.
        DagContext.current_autoregister_module_name = path.stem
        spec.loader.exec_module(module)
    return {dag.dag_id: dag for dag, _ in DagContext.autoregistered_dags}


def run(dag, conf, logical_date):
    when = {} if logical_date is None else {"logical_date": datetime.fromisoformat(logical_date).replace(tzinfo=UTC)}
    dag_run = dag.test(run_conf=conf, **when)
    with create_session() as session:
        tasks = {}
        for ti in dag_run.get_task_instances(session=session):
            name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
            tasks[name] = {"state": ti.state, "label": ti.rendered_map_index}
        rows = session.scalars(select(XComModel).where(XComModel.run_id == dag_run.run_id)).all()
        xcoms = [[row.task_id, row.key, row.value] for row in rows if row.dag_id == dag.dag_id]
    return {"run_id": dag_run.run_id, "state": str(dag_run.state), "tasks": tasks, "xcoms": xcoms}


def main():
    answers = Path(sys.argv[1])
    dags = load_dags(sys.argv[2])
    for line in sys.stdin:
        request = json.loads(line)
        print(f"=== {request['dag']} {request.get('mark', '')}", flush=True)
        try:
            answer = run(dags[request["dag"]], request.get("conf") or {}, request.get("logical_date"))
        except Exception:
            answer = {"error": traceback.format_exc()}
        with answers.open("a") as file:
            file.write(json.dumps(answer, default=str) + "\n")


main()
# Everything is written; to take Airflow apart in good order costs seconds and serves nobody.
sys.stdout.flush()
os._exit(0)
