"""In whose name a hook asks: the `principal` of the connection, with `{dag_id}` for the DAG of the running task."""

from __future__ import annotations

from airflow_pachy.errors import InvalidArgument

OUTSIDE_TASKS = "robot:airflow"
_DAG = "{dag_id}"


def check_template(conn_id: str, principal: str) -> str:
    """Return the connection's `principal`, or raise `InvalidArgument` for a placeholder that nothing stands for."""
    if "{" in principal.replace(_DAG, "") or "}" in principal.replace(_DAG, ""):
        raise InvalidArgument(
            f"connection {conn_id!r}: in principal {principal!r} only {_DAG} is replaced by something"
        )
    return principal


def caller(principal: str) -> str:
    """The principal with the running task's DAG in it; `robot:airflow` where no task runs (triggerer, UI)."""
    if _DAG not in principal:
        return principal
    from airflow.sdk import get_current_context

    try:
        dag_id = get_current_context()["ti"].dag_id
    except RuntimeError:
        return OUTSIDE_TASKS
    return principal.replace(_DAG, dag_id)
