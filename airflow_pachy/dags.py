"""Pipeline specs as DAGs: one DAG per pipeline, which starts when one of its inputs has a new commit.

    from airflow_pachy.dags import load_pipelines
    globals().update(load_pipelines("pipelines/"))     # in a file of the DAGs folder

As with Pachyderm a pipeline runs once per change of its inputs, one job at a time, and a chain of pipelines
is joined by nothing but the branches that they read and write.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import DAG
    from airflow.sdk.definitions.asset import BaseAsset

    from airflow_pachy.pipelines import PipelineSpec

__all__ = ["load_pipelines", "pipeline_dag"]


def load_pipelines(folder: str | Path, **arguments: Any) -> dict[str, DAG]:
    """The DAG of every pipeline in the spec files of a folder (or of one file), by name.

    `arguments` are those of `pipeline_dag`. Raises `InvalidSpec` naming file and pipeline, `FileNotFoundError`.
    """
    from airflow_pachy.pipelines import PipelineSpec
    from airflow_pachy.pipelines.reading.sources import SUFFIXES

    place = Path(folder)
    if not place.exists():
        raise FileNotFoundError(f"there are no pipeline specs at {place}: no such file or folder")
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.suffix in SUFFIXES)
    dags: dict[str, DAG] = {}
    for path in files:
        for spec in PipelineSpec.parse(path):
            if spec.name in dags:
                raise InvalidSpec(f"{path}: pipeline {spec.name!r} is defined twice; rename one of them")
            dags[spec.name] = pipeline_dag(spec, **arguments)
    return dags


def pipeline_dag(
    spec: PipelineSpec | Mapping[str, Any] | str | Path,
    *,
    dag_id: str | None = None,
    pfs_conn_id: str = DEFAULT_CONNECTION,
    stage: Mapping[str, Any] | None = None,
    **dag_arguments: Any,
) -> DAG:
    """A DAG with one stage. `stage` are further arguments of `DatumMapOperator`, `dag_arguments` those of `DAG`.

    `spec` is one pipeline: parsed, as a document, as JSON or YAML text, or a file. Raises `InvalidSpec`.
    """
    from airflow.sdk import DAG

    from airflow_pachy.operators import DatumMapOperator

    pipeline = _single(spec)
    defaults = {
        "schedule": _any_input(pipeline, pfs_conn_id),
        "catchup": False,
        "max_active_runs": 1,
        "tags": ["pachy"],
        "description": pipeline.description or None,
    }
    with DAG(dag_id or pipeline.name, **{**defaults, **dag_arguments}) as dag:
        settings = {**stage_arguments(pipeline), "pfs_conn_id": pfs_conn_id, "new_only": True, **(stage or {})}
        DatumMapOperator(pipeline.name, **settings)
    return dag


def stage_arguments(spec: PipelineSpec) -> dict[str, Any]:
    """A pipeline spec as arguments of `DatumMapOperator`."""
    from airflow_pachy.pipelines.reading import operator_arguments

    return operator_arguments(spec)


def _single(spec: PipelineSpec | Mapping[str, Any] | str | Path) -> PipelineSpec:
    from airflow_pachy.pipelines import PipelineSpec

    if isinstance(spec, PipelineSpec):
        return spec
    parsed = PipelineSpec.parse(spec)
    if len(parsed) != 1:
        names = ", ".join(repr(one.name) for one in parsed) or "none"
        raise InvalidSpec(
            f"pipeline_dag makes one DAG, but there are {len(parsed)} pipelines ({names}); use load_pipelines"
        )
    return parsed[0]


def _any_input(spec: PipelineSpec, pfs_conn_id: str) -> BaseAsset | None:
    from airflow.sdk import AssetAny

    from airflow_pachy.assets import pfs_asset

    # A pinned commit never changes, so it starts nothing.
    starting = [leaf for leaf in spec.input.leaves() if leaf.commit is None and leaf.trigger is not False]
    branches = dict.fromkeys(f"{leaf.repo}@{leaf.branch}" for leaf in starting)
    assets = [pfs_asset(branch, conn_id=pfs_conn_id) for branch in branches]
    if len(assets) <= 1:
        return assets[0] if assets else None
    return AssetAny(*assets)
