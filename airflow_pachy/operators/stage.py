"""From operator arguments to a pipeline spec, and its check while the DAG file is parsed.

The spec is built twice: at parse time, so that a typo shows as an import error of the DAG and not as a failed
run at night, and again when the plan runs, with the templates rendered.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs.address import DEFAULT_BRANCH, parse_branch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from airflow_pachy.pipelines import PipelineSpec

TEMPLATED = ("pipeline", "input", "output_branch", "image", "cmds", "arguments", "stdin", "env_vars", "code_version")
"""The arguments that may hold Jinja templates."""

_TRANSFORM_OPTIONS = ("accept_return_code", "err_cmd", "err_stdin", "working_dir", "batch")


def spec_options(
    *,
    datum_tries: int,
    datum_timeout: timedelta | None,
    job_timeout: timedelta | None,
    accept_return_codes: Sequence[int],
    err_cmd: Sequence[str],
    err_stdin: Sequence[str],
    working_dir: str | None,
    batch: bool | int,
    datum_set: Any,
    parallelism: int | None,
    on_collision: str,
    reprocess: bool,
    enable_stats: bool,
    incremental: bool = False,
    salt: str | None = None,
) -> dict[str, Any]:
    """The part of the spec that is not templated, as plain JSON."""
    sets = datum_set.model_dump(exclude_none=True) if hasattr(datum_set, "model_dump") else dict(datum_set or {})
    return {
        "accept_return_code": list(accept_return_codes),
        "err_cmd": list(err_cmd),
        "err_stdin": list(err_stdin),
        "working_dir": working_dir,
        "batch": batch,
        "datum_tries": datum_tries,
        "datum_timeout": _duration(datum_timeout),
        "job_timeout": _duration(job_timeout),
        "datum_set_spec": sets,
        "parallelism_spec": {} if parallelism is None else {"constant": parallelism},
        "on_collision": on_collision,
        "reprocess_spec": "every_job" if reprocess else "until_success",
        "enable_stats": enable_stats,
        "incremental": incremental,
        "salt": salt,
    }


def build_spec(arguments: Mapping[str, Any], options: Mapping[str, Any], *, origin: str) -> PipelineSpec:
    """The pipeline spec of a stage. `arguments` are those of `TEMPLATED`, rendered; `origin` names the stage in errors.

    Raises `InvalidSpec`, `InvalidAddress` or `InvalidName`.
    """
    from airflow_pachy.pipelines import PipelineSpec

    output = parse_branch(arguments["output_branch"])
    rest = dict(options)
    transform = {
        "image": arguments["image"] or "",
        "cmd": [*arguments["cmds"], *arguments["arguments"]],
        "stdin": list(arguments["stdin"]),
        "env": dict(arguments["env_vars"]),
        **{name: rest.pop(name) for name in _TRANSFORM_OPTIONS if name in rest},
    }
    document = {
        "pipeline": {"name": arguments["pipeline"] or pipeline_name(output.repo, output.ref)},
        "transform": transform,
        "input": arguments["input"],
        "output_repo": output.repo,
        "output_branch": output.ref,
        "code_version": arguments["code_version"],
        **rest,
    }
    return PipelineSpec.from_dict(document, origin=origin)


def pipeline_name(repo: str, branch: str) -> str:
    """The name of a stage that writes `repo@branch`.

    It is the output repo, as with Pachyderm. Another branch than master is another pipeline: what it has processed
    says nothing about master, since its code may differ.
    """
    return repo if branch == DEFAULT_BRANCH else f"{repo}-{branch}"


def check_arguments(arguments: Mapping[str, Any], options: Mapping[str, Any], *, origin: str) -> None:
    """Raise what `build_spec` would, as far as can be told before templates are rendered."""
    numbers = count()
    build_spec({name: _with_stand_ins(value, numbers) for name, value in arguments.items()}, options, origin=origin)


def address_of(commit: Any) -> str:
    """The address of a commit that is given as text, or as what a stage has published (`stage.output`)."""
    if isinstance(commit, dict):
        return f"{commit['repo']}@{commit['commit']}"
    return str(commit)


def _with_stand_ins(value: Any, numbers: Iterator[int]) -> Any:
    """The value with every templated string replaced by a name that is legal anywhere."""
    if isinstance(value, str):
        return f"rendered-{next(numbers)}" if "{{" in value or "{%" in value else value
    if isinstance(value, dict):
        return {key: _with_stand_ins(item, numbers) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_stand_ins(item, numbers) for item in value]
    return value


def _duration(value: timedelta | None) -> str | None:
    return None if value is None else f"{value.total_seconds():.6f}s"
