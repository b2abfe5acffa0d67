"""What a pod of the pipeline asks of the cluster, and how many run at once."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads annotations at run time
from typing import Any, ClassVar

from pydantic import Field, field_validator

from airflow_pachy.pipelines.models import SpecModel


class Gpu(SpecModel):
    """`number` devices of a Kubernetes resource `type`, such as `nvidia.com/gpu`."""

    type: str = "nvidia.com/gpu"
    number: int = Field(ge=1)


class Resources(SpecModel):
    """Amounts in Kubernetes notation: `cpu: 0.5`, `memory: 2Gi`, `disk: 10Gi`."""

    cpu: str | None = None
    memory: str | None = None
    disk: str | None = None
    gpu: Gpu | None = None

    @field_validator("cpu", "memory", "disk", mode="before")
    @classmethod
    def _numbers_are_quantities(cls, value: Any) -> Any:
        return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


class ParallelismSpec(SpecModel):
    """At most `constant` pods at once."""

    refused: ClassVar[Mapping[str, str]] = {
        "coefficient": "the number of nodes is not known here; use 'constant'",
        "strategy": "use 'constant' alone",
    }

    constant: int | None = Field(default=None, ge=1)
