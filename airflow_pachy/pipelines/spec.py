"""The pipeline spec: everything that says what a pipeline computes and how, checked when it is read.

It accepts the forms that Pachyderm 1.7 to 2.x share; what is unknown or not supported is refused by name, with
the alternative where there is one. Three fields are ours: `output_repo` (Pachyderm always uses the
pipeline's name), `on_collision` and `code_version`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path  # noqa: TC003 - pydantic reads annotations at run time
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.documents import read_documents
from airflow_pachy.pipelines.inputs import InputField  # noqa: TC001 - pydantic reads annotations at run time
from airflow_pachy.pipelines.models import Duration, SpecModel, nulls_dropped
from airflow_pachy.pipelines.resources import ParallelismSpec, Resources
from airflow_pachy.pipelines.sets import DatumSetSpec
from airflow_pachy.pipelines.transform import Transform  # noqa: TC001 - pydantic reads annotations at run time

OnCollision = Literal["error", "append", "overwrite"]

REFUSED: Mapping[str, str] = {
    "autoscaling": "pods exist only while there are datums to run",
    "cache_size": "the worker sizes its own cache",
    "cron": "give the DAG a schedule",
    "determined": "call Determined from the code itself",
    "egress": "add a PfsEgressOperator after the pipeline",
    "framework": "remove it",
    "gc_percent": "remove it",
    "googleapis": "remove it",
    "hashtree_spec": "trees split themselves here",
    "incremental": "datums that were processed before are skipped anyway; for appending use on_collision: append",
    "inputs": "the form before 1.4; write 'input' with a glob",
    "max_queue_size": "the worker stages one datum ahead",
    "maximum_expected_uptime": "use job_timeout",
    "metadata": "pass labels and annotations to the operator's 'pod' argument",
    "pod_patch": "pass it to the operator's 'pod' argument",
    "pod_spec": "pass it to the operator's 'pod' argument",
    "s3_out": "write files to /pfs/out",
    "salt": "each pipeline gets its own; to run everything again use reprocess",
    "scale_down_threshold": "pods exist only while there are datums to run",
    "scheduling_spec": "pass node_selector and priority_class_name to the operator's 'pod' argument",
    "service": "run it as a Kubernetes Deployment",
    "sidecar_image": "configure the helper image on the connection",
    "sidecar_resource_limits": "configure the helper's resources on the connection",
    "sidecar_resource_requests": "configure the helper's resources on the connection",
    "spec_commit": "only export writes it; remove it",
    "spout": "let a task of a scheduled DAG put the files",
    "standby": "pods exist only while there are datums to run",
    "tf_job": "call it from the code itself",
    "tolerations": "pass tolerations to the operator's 'pod' argument",
}


class PipelineName(SpecModel):
    """The `pipeline` object of a spec."""

    refused: ClassVar[Mapping[str, str]] = {"project": "there are no projects here; put the project into the name"}

    name: str = Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9_-]+$")


class PipelineSpec(SpecModel):
    """One pipeline. Immutable; `to_spec()` is its JSON form, which `parse` reads back."""

    refused: ClassVar[Mapping[str, str]] = REFUSED

    pipeline: PipelineName
    transform: Transform
    input: InputField
    description: str = ""
    output_branch: str = "master"
    output_repo: str = ""
    datum_tries: int = Field(default=3, ge=1)
    datum_timeout: Duration | None = None
    job_timeout: Duration | None = None
    resource_requests: Resources | None = None
    resource_limits: Resources | None = None
    parallelism_spec: ParallelismSpec = ParallelismSpec()
    datum_set_spec: DatumSetSpec = DatumSetSpec()
    enable_stats: bool = True
    reprocess_spec: Literal["until_success", "every_job"] = "until_success"
    on_collision: OnCollision = "error"
    code_version: str | None = None

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.pipeline.name

    @property
    def output(self) -> str:
        """Where it writes: `repo@branch`."""
        return f"{self.output_repo}@{self.output_branch}"

    @classmethod
    def parse(cls, source: str | bytes | Mapping[str, Any] | Path) -> list[Self]:
        """Every pipeline of a JSON or YAML text, a file, or an already decoded document.

        Raises `InvalidSpec`, which names the pipeline and the field, and `FileNotFoundError`.
        """
        documents, origin = read_documents(source)
        return [cls.from_dict(document, origin=origin) for document in documents]

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, origin: str = "pipeline spec") -> Self:
        """One pipeline from its decoded document; `origin` is where it came from, for errors."""
        try:
            return cls.model_validate(nulls_dropped(document))
        except ValidationError as error:
            raise InvalidSpec(describe_errors(error, f"{origin}, {_label(document)}")) from error

    def to_spec(self) -> dict[str, Any]:
        """The spec as plain JSON, without defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @model_validator(mode="before")
    @classmethod
    def _older_names(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "chunk_spec" not in value:
            return value
        if value.get("datum_set_spec"):
            raise ValueError("chunk_spec is the older name of datum_set_spec; keep only one of them")
        return {("datum_set_spec" if name == "chunk_spec" else name): item for name, item in value.items()}

    @field_validator("output_branch", mode="before")
    @classmethod
    def _no_branch_is_master(cls, value: Any) -> Any:
        return value or "master"

    @field_validator("datum_tries", mode="before")
    @classmethod
    def _zero_tries_is_unset(cls, value: Any) -> Any:
        return value or 3

    @field_validator("reprocess_spec", mode="before")
    @classmethod
    def _no_reprocess_spec(cls, value: Any) -> Any:
        return value or "until_success"

    @field_validator("datum_timeout", "job_timeout", mode="before")
    @classmethod
    def _no_timeout(cls, value: Any) -> Any:
        return value or None

    @model_validator(mode="after")
    def _hang_together(self) -> Self:
        if not self.output_repo:
            object.__setattr__(self, "output_repo", self.pipeline.name)
        self.input.check_names()
        for leaf in self.input.leaves():
            if (leaf.repo, leaf.branch) == (self.output_repo, self.output_branch):
                raise ValueError(f"input {leaf.name!r} reads {self.output}, which the pipeline itself writes")
        return self


def describe_errors(error: ValidationError, subject: str) -> str:
    """All problems of a validation as `subject: field: what is wrong`, one per line."""
    lines = []
    for problem in error.errors(include_url=False):
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{subject}: {where}: {message}" if where else f"{subject}: {message}")
    return "\n".join(lines)


def _label(document: Any) -> str:
    pipeline = document.get("pipeline") if isinstance(document, Mapping) else None
    name = pipeline.get("name") if isinstance(pipeline, Mapping) else None
    return f"pipeline {name!r}" if name else "a pipeline without a name"
