"""Reading pipeline specs of every version: texts, field names, older forms, defaults, and what becomes of each field.

    text -> documents (with the line of each field) -> one vocabulary (`vocabulary`) -> one form (`versions`)
         -> defaults merged beneath -> the models in `airflow_pachy.pipelines.spec`

The table in `field_table` says for every field that Pachyderm ever had what becomes of it; errors, `pachy validate
pipeline` and docs/pipeline-spec.md all come from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.pipelines.reading.operators import operator_arguments
    from airflow_pachy.pipelines.reading.patches import merge_patch, patch_pod_spec
    from airflow_pachy.pipelines.reading.report import FieldReport, explain

__all__ = ["FieldReport", "explain", "merge_patch", "operator_arguments", "patch_pod_spec"]

_HOMES = {
    "FieldReport": "report",
    "explain": "report",
    "merge_patch": "patches",
    "operator_arguments": "operators",
    "patch_pod_spec": "patches",
}

__getattr__, __dir__ = exports(__name__, _HOMES)
