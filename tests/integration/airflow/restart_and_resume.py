"""Runs in a process of its own, beside the one of `run_dags.py`: `pachy restart datum`, then what a scheduler would do.

Arguments: the folder of the DAGs, the DAG, its run, the words after `restart datum`. Prints what the command printed,
and as the last line, in JSON, the state of the run and the tries of its tasks before and after.
"""

import json
import sys
from importlib import util
from pathlib import Path

from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.sdk.definitions.dag import _run_task
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import select

from airflow_pachy.cli import main as pachy


def load_dag(folder, dag_id):
    for path in sorted(Path(folder).glob("*.py")):
        spec = util.spec_from_file_location(path.stem, path)
        module = sys.modules[path.stem] = util.module_from_spec(spec)
        DagContext.current_autoregister_module_name = path.stem
        spec.loader.exec_module(module)
    return {dag.dag_id: dag for dag, _ in DagContext.autoregistered_dags}[dag_id]


def tries(run, session):
    return {
        f"{ti.task_id}[{ti.map_index}]": [ti.state, ti.try_number] for ti in run.get_task_instances(session=session)
    }


def main(folder, dag_id, run_id, *words):
    dag = load_dag(folder, dag_id)
    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        before = tries(run, session)
    assert pachy(["restart", "datum", *words]) == 0
    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        assert run.state == DagRunState.QUEUED, run.state
        run.dag = DBDagBag().get_dag_for_run(run, session=session)
        run.state = DagRunState.RUNNING
        session.commit()
        while run.state == DagRunState.RUNNING:
            ready, _ = run.update_state(session=session)
            for ti in ready:
                ti.try_number += 1
                ti.state = TaskInstanceState.SCHEDULED
            session.commit()
            for ti in ready:
                _run_task(ti=ti, task=dag.task_dict[ti.task_id], run_triggerer=True)
            session.expire_all()
        print(json.dumps({"state": run.state, "before": before, "after": tries(run, session)}, default=str))


main(*sys.argv[1:])
