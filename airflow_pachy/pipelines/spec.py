"""The pipeline spec: everything that says what a pipeline computes and how, checked when it is read.

It accepts the specs of every Pachyderm version (`airflow_pachy.pipelines.reading` brings them into one form); what is
unknown or cannot be done is refused by name, with the alternative. Three fields are ours: `output_repo` (Pachyderm
always uses the pipeline's name), `on_collision` and `code_version`.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads annotations at run time
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.egress.target import EgressTarget  # noqa: TC001 - pydantic reads annotations at run time
from airflow_pachy.pipelines.inputs import InputField, NoInput
from airflow_pachy.pipelines.models import Duration, SpecModel, nulls_dropped
from airflow_pachy.pipelines.reading.canonical import asks_for_nothing, canonical
from airflow_pachy.pipelines.reading.document import Document
from airflow_pachy.pipelines.reading.fields import Treatment, fields_below
from airflow_pachy.pipelines.reading.patches import merge_patch
from airflow_pachy.pipelines.reading.sources import read_documents
from airflow_pachy.pipelines.reading.versions import complete_inputs, modern
from airflow_pachy.pipelines.resources import ParallelismSpec, Resources
from airflow_pachy.pipelines.scheduling import PodMetadata, PodPatch, PodSpecPatch, SchedulingSpec, Toleration
from airflow_pachy.pipelines.sets import DatumSetSpec
from airflow_pachy.pipelines.transform import Transform  # noqa: TC001 - pydantic reads annotations at run time
from airflow_pachy.pipelines.workload import Service, Spout  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_pachy.pipelines.reading.sources import SpecSource

OnCollision = Literal["error", "append", "overwrite"]


class PipelineName(SpecModel):
    """The `pipeline` object of a spec."""

    name: str = Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9_-]+$")


class PipelineSpec(SpecModel):
    """One pipeline. Immutable; `to_spec()` is its JSON form, which `parse` reads back.

    A spout has no input. `reprocess` is a wish about one update, not a property of the pipeline, so it is not in
    `to_spec()`.
    """

    refused: ClassVar[Mapping[str, str]] = fields_below("", Treatment.REFUSED)

    pipeline: PipelineName
    transform: Transform
    input: InputField = NoInput()
    description: str = ""
    output_branch: str = "master"
    output_repo: str = ""
    datum_tries: int = Field(default=3, ge=1)
    datum_timeout: Duration | None = None
    job_timeout: Duration | None = None
    resource_requests: Resources | None = None
    resource_limits: Resources | None = None
    sidecar_resource_requests: Resources | None = None
    sidecar_resource_limits: Resources | None = None
    parallelism_spec: ParallelismSpec = ParallelismSpec()
    datum_set_spec: DatumSetSpec = DatumSetSpec()
    scheduling_spec: SchedulingSpec = SchedulingSpec()
    tolerations: tuple[Toleration, ...] = ()
    metadata: PodMetadata = PodMetadata()
    pod_spec: PodSpecPatch = Field(default_factory=dict)
    pod_patch: PodPatch = ()
    enable_stats: bool = True
    reprocess_spec: Literal["until_success", "every_job"] = "until_success"
    incremental: bool = False
    egress: EgressTarget | None = None
    service: Service | None = None
    spout: Spout | None = None
    salt: str = ""
    on_collision: OnCollision = "error"
    code_version: str | None = None
    reprocess: bool = Field(default=False, exclude=True)

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.pipeline.name

    @property
    def output(self) -> str:
        """Where it writes: `repo@branch`."""
        return f"{self.output_repo}@{self.output_branch}"

    @classmethod
    def parse(
        cls,
        source: SpecSource,
        *,
        arguments: Mapping[str, str] | None = None,
        defaults: Iterable[Mapping[str, Any] | Document] = (),
    ) -> list[Self]:
        """Every pipeline of a JSON, YAML or Jsonnet text, of a file, or of an already decoded document.

        `arguments` are those of a Jsonnet template. Each of `defaults` is merged beneath the spec (RFC 7396), later
        ones over earlier ones: those of the cluster, then those of the project.
        Raises `InvalidSpec`, which names file, line, pipeline and field, and `FileNotFoundError`.
        """
        beneath = list(defaults)
        return [cls.from_document(document, beneath) for document in read_documents(source, arguments)]

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, origin: str = "pipeline spec") -> Self:
        """One pipeline from its decoded document; `origin` is where it came from, for errors."""
        return cls.from_document(Document(document, origin))

    @classmethod
    def from_document(cls, document: Document, defaults: Iterable[Mapping[str, Any] | Document] = ()) -> Self:
        """One pipeline from a document that knows its places. Raises `InvalidSpec` with all problems, one per line."""
        read = canonical(document)
        problems = list(read.problems)
        try:
            value = modern(read.document.value, read.findings)
            beneath: Any = {}
            for default in defaults:
                beneath = merge_patch(beneath, _default_value(default))
            spec = cls.model_validate(nulls_dropped(complete_inputs(merge_patch(beneath, value))))
            if not problems:
                return spec
        except ValidationError as error:
            # What is refused is left out before, so what the models find is in addition to it.
            problems += describe_errors(error, read.document)
        except ValueError as error:
            problems.append(read.document.error((), str(error)))
        raise InvalidSpec("\n".join(problems))

    def to_spec(self) -> dict[str, Any]:
        """The spec as plain JSON, without defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)

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

    @field_validator("datum_timeout", "job_timeout", "egress", "service", mode="before")
    @classmethod
    def _nothing_is_unset(cls, value: Any) -> Any:
        # A spout is not among them: an empty object is a spout.
        return None if asks_for_nothing(value) else value

    @field_validator("input", mode="before")
    @classmethod
    def _no_input_at_all(cls, value: Any) -> Any:
        return NoInput() if value == {} else value

    @model_validator(mode="after")
    def _hang_together(self) -> Self:
        if not self.output_repo:
            object.__setattr__(self, "output_repo", self.pipeline.name)
        self._check_kind()
        self.input.check_names()
        for leaf in self.input.leaves():
            if (leaf.repo, leaf.branch) == (self.output_repo, self.output_branch):
                raise ValueError(f"input {leaf.name!r} reads {self.output}, which the pipeline itself writes")
            if leaf.lazy and self.transform.batch:
                raise ValueError(f"input {leaf.name!r} is lazy, which datums in batches cannot be: drop one of them")
        return self

    def _check_kind(self) -> None:
        nothing = isinstance(self.input, NoInput)
        if self.spout is not None and (not nothing or self.service is not None):
            other = "service" if nothing else "input"
            raise ValueError(f"a spout produces by itself, so it has no {other!r}; drop one of them")
        if self.spout is None and nothing:
            raise ValueError("input: required, unless the pipeline is a spout")
        if self.incremental:
            self._check_incremental()
        if self.service is not None and self.egress is not None:
            raise ValueError("a service makes no commits that egress could copy; drop one of them")
        if self.spout is not None and self.egress is not None:
            raise ValueError("a spout's commits are not copied by itself; give egress to a pipeline that reads it")

    def _check_incremental(self) -> None:
        if self.spout is not None or self.service is not None:
            kind = "spout" if self.spout is not None else "service"
            raise ValueError(f"incremental: a {kind} has no datums that could go on; drop one of them")
        if self.reprocess_spec == "every_job":
            raise ValueError(
                "incremental: datums that all run from scratch in every job never go on; drop reprocess_spec"
            )
        if not any(leaf.incremental for leaf in self.input.leaves()):
            raise ValueError("incremental: every input says incremental: false; drop it for one of them, or for all")


def describe_errors(error: ValidationError, document: Document) -> list[str]:
    """All problems of a validation, each as one line with file, line, pipeline and field."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        path = tuple(part for part in problem["loc"] if part != "members")
        lines.append(document.error(path, problem["msg"].removeprefix("Value error, ")))
    return lines


def _default_value(default: Mapping[str, Any] | Document) -> dict[str, Any]:
    read = canonical(default if isinstance(default, Document) else Document(default, "defaults"))
    if read.problems:
        raise InvalidSpec("\n".join(read.problems))
    return modern(read.document.value, read.findings)
