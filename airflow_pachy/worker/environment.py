"""The environment variables that a datum's command finds, by Pachyderm's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.pfs.tree.glob import compile_glob

if TYPE_CHECKING:
    from airflow_pachy.worker.plan import DatumPlan, SetPlan


def datum_environment(plan: SetPlan, datum: DatumPlan, pfs_path: str) -> dict[str, str]:
    """The transform's own variables, and over them ours.

    `<input>` is the path of the input's file or directory and `<input>_COMMIT` its commit; of an input
    that a grouped datum names several times, the last path. `PACH_DATUM_<input>_JOIN_ON` and `_GROUP_BY` are the
    keys by which a join or group has found it.
    """
    env = dict(plan.transform.env)
    for item in datum.inputs:
        path = item.path.strip("/")
        env[item.name] = f"{pfs_path}/{item.name}/{path}" if path else f"{pfs_path}/{item.name}"
        env[f"{item.name}_COMMIT"] = item.commit
        # What it was called before 1.5.
        env[f"PACH_{item.name.upper()}_COMMIT_ID"] = item.commit
        if item.captures is not None:
            env.update(_keys(item.name, path, *item.captures))
    env["PACH_JOB_ID"] = plan.job
    env["PACH_OUTPUT_COMMIT_ID"] = plan.output_commit
    env["PACH_DATUM_ID"] = datum.id
    env["PPS_PIPELINE_NAME"] = plan.pipeline
    env["PFS_ROOT"] = pfs_path
    return env


def _keys(name: str, path: str, glob: str, join_on: str, group_by: str) -> dict[str, str]:
    templates = {f"PACH_DATUM_{name}_JOIN_ON": join_on, f"PACH_DATUM_{name}_GROUP_BY": group_by}
    pattern = compile_glob(glob)
    return {variable: pattern.capture(path, text) or "" for variable, text in templates.items() if text}
