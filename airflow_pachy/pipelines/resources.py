"""What a pod of the pipeline asks of the cluster, and how many run at once."""

from __future__ import annotations

from math import ceil
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

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
        if value in (0, ""):
            return None
        return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    @field_validator("gpu", mode="before")
    @classmethod
    def _a_number_of_gpus(cls, value: Any) -> Any:
        if isinstance(value, (int, str)) and not isinstance(value, bool):
            return {"number": value} if value not in (0, "0", "") else None
        # Exports have the object with zero values.
        return value if not isinstance(value, dict) or value.get("number") else None

    def amounts(self) -> dict[str, str]:
        """By the names that Kubernetes has for resources."""
        named = {"cpu": self.cpu, "memory": self.memory, "ephemeral-storage": self.disk}
        if self.gpu is not None:
            named[self.gpu.type or "nvidia.com/gpu"] = str(self.gpu.number)
        return {name: amount for name, amount in named.items() if amount is not None}


class ParallelismSpec(SpecModel):
    """At most `constant` pods at once, or `coefficient` times as many as the cluster has nodes."""

    constant: int | None = Field(default=None, ge=1)
    coefficient: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _zero_is_unset(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item not in (0, "0", "")}
        return value

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.constant is not None and self.coefficient is not None:
            raise ValueError("constant and coefficient are two ways to say how many; keep one of them")
        return self

    def pods(self, nodes: int | None = None) -> int | None:
        """How many pods at once on a cluster of so many nodes; None for as many as there is room for."""
        if self.coefficient is None or nodes is None:
            return self.constant
        return max(1, ceil(self.coefficient * nodes))
