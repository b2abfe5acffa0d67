"""The environment variables that a datum's command finds, by Pachyderm's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_pachy.worker.plan import DatumPlan, SetPlan


def datum_environment(plan: SetPlan, datum: DatumPlan, pfs_path: str) -> dict[str, str]:
    """The transform's own variables, and over them ours.

    `<input>` is the path of the input's file or directory and `<input>_COMMIT` its commit; of an input
    that a grouped datum names several times, the last path.
    """
    env = dict(plan.transform.env)
    for item in datum.inputs:
        path = item.path.strip("/")
        env[item.name] = f"{pfs_path}/{item.name}/{path}" if path else f"{pfs_path}/{item.name}"
        env[f"{item.name}_COMMIT"] = item.commit
    env["PACH_JOB_ID"] = plan.job
    env["PACH_OUTPUT_COMMIT_ID"] = plan.output_commit
    env["PACH_DATUM_ID"] = datum.id
    env["PFS_ROOT"] = pfs_path
    return env
