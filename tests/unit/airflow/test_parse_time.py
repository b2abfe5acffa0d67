"""What a DAG file pays for importing from us, measured in a process of its own."""

import json
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import json, sys, time
from airflow.sdk import DAG, Asset, BaseOperator, TaskGroup
before = set(sys.modules)
started = time.perf_counter()
from airflow_pachy.assets import pfs_asset
from airflow_pachy.operators import DatumMapOperator
from airflow_pachy.sensors import PfsFileSensor
with DAG("parsed", schedule=[pfs_asset("images@master")]):
    stages = [
        DatumMapOperator(f"s{n}", input={"pfs": {"repo": "images", "glob": "/*"}}, output=f"s{n}@master", cmds=["true"])
        for n in range(3)
    ]
    PfsFileSensor(task_id="wait", path="images@master:/*") >> stages[0] >> stages[1] >> stages[2]
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
"""
HEAVY = ("kubernetes", "kubernetes_asyncio", "boto3", "botocore", "pyarrow", "sqlalchemy", "alembic", "numpy")
HEAVY_PARTS = ("airflow.providers.cncf", "airflow_pachy.metadata", "airflow_pachy.pfs.client", "airflow_pachy.worker")


@pytest.fixture(scope="module")
def parsed():
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_a_dag_file_imports_nothing_heavy(parsed):
    # Airflow 3.1 reads providers' descriptions at import time by itself.
    ours = [name for name in parsed["modules"] if not name.endswith(".get_provider_info")]
    heavy = [name for name in ours if name.split(".")[0] in HEAVY or name.startswith(HEAVY_PARTS)]
    assert heavy == []


def test_the_time_is_told(parsed, record_property):
    record_property("parse_seconds", parsed["seconds"])
    print(f"three stages cost a DAG file {parsed['seconds'] * 1000:.0f} ms, {len(parsed['modules'])} modules")
    assert parsed["seconds"] < 5, "an order of magnitude above what it should be"
