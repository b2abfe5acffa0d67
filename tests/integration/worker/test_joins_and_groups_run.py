"""Joined and grouped datums as the code sees them: real plans, real processes."""

import pytest

from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, plan_job
from airflow_pachy.worker.local import LocalRunner
from airflow_pachy.worker.outcome import WorkerOptions
from airflow_pachy.worker.plan import read_plan
from airflow_pachy.worker.run import run_set


@pytest.fixture
def shop(tmp_path):
    with Pfs.open(f"file://{tmp_path}/store", f"sqlite:///{tmp_path}/db") as pfs:
        pfs.create_repo("stores")
        pfs.create_repo("purchases")
        with pfs.commit("stores@master") as commit:
            commit.put_file("/1.txt", b"first")
            commit.put_file("/2.txt", b"second")
            commit.put_file("/3.txt", b"third")
        with pfs.commit("purchases@master") as commit:
            for name in ("7-1", "8-1", "9-2"):
                commit.put_file(f"/order-{name}.txt", name.encode())
        yield pfs


def run(pfs, node, *lines):
    spec = PipelineSpec.from_dict(
        {
            "pipeline": {"name": "p"},
            "transform": {"cmd": ["sh"], "stdin": ['cd "$PFS_ROOT"', *lines]},
            "input": node,
            "datum_tries": 1,
        }
    )
    plan = plan_job(pfs, JobRequest(spec, "dag", "run", "stage"))
    for key in plan.sets:
        with LocalRunner(pfs_root_env=True) as runner:
            run_set(pfs.store, read_plan(pfs.store, key), runner, WorkerOptions(attempt="1"))
    assemble_job(pfs, plan.job_id)
    return {one.path: pfs.get_file(f"p@master:{one.path}").decode() for one in pfs.list_file("p@master:/")}


def leaf(repo, glob, **more):
    return {"pfs": {"repo": repo, "glob": glob, **more}}


def test_a_join_sees_both_files_and_its_key(shop):
    node = {
        "join": [
            leaf("stores", "/(*).txt", join_on="$1", outer_join=True),
            leaf("purchases", "/order-*-(*).txt", join_on="$1"),
        ]
    }
    found = run(
        shop,
        node,
        "key=$PACH_DATUM_stores_JOIN_ON",
        'order=$(basename "${purchases:-none}" .txt)',
        'cat stores/* $(ls purchases/* 2>/dev/null) > "out/$key-$order"',
    )
    assert found == {
        "/1-order-7-1": "first7-1",
        "/1-order-8-1": "first8-1",
        "/2-order-9-2": "second9-2",
        "/3-none": "third",
    }


def test_a_group_sees_all_files_of_its_key(shop):
    node = {
        "group": [
            leaf("purchases", "/order-*-(*).txt", group_by="$1"),
            leaf("purchases", "/order-*-(1).txt", group_by="$1", name="again"),
            leaf("stores", "/(*).txt", group_by="$1"),
        ]
    }
    found = run(
        shop,
        node,
        'ls purchases again stores 2>/dev/null | tr "\\n" " " > "out/$PACH_DATUM_stores_GROUP_BY"',
    )
    assert found == {
        "/1": "again: order-7-1.txt order-8-1.txt  purchases: order-7-1.txt order-8-1.txt  stores: 1.txt ",
        "/2": "purchases: order-9-2.txt  stores: 2.txt ",
        "/3": "stores: 3.txt ",
    }
