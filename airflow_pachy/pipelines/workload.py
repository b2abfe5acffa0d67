"""Pipelines that are not jobs over datums: services, which answer while their commit is the newest, and spouts."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads annotations at run time
from typing import Any

from pydantic import Field, field_validator, model_validator

from airflow_pachy.pipelines.models import SpecModel


class Service(SpecModel):
    """A Kubernetes Service in front of a pipeline's pod."""

    internal_port: int = Field(ge=1, le=65535)
    external_port: int | None = Field(default=None, ge=1, le=65535)
    ip: str = ""
    type: str = "NodePort"
    annotations: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _zero_is_unset(cls, value: Any) -> Any:
        return {name: item for name, item in value.items() if item not in (0, "")} if isinstance(value, dict) else value

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        known = ("ClusterIP", "NodePort", "LoadBalancer")
        found = {name.lower(): name for name in known}.get(value.lower())
        if found is None:
            raise ValueError(f"{value!r} is none of {', '.join(known)}")
        return found


class Spout(SpecModel):
    """A long-running producer. `overwrite` and `marker` are of 1.x, where it wrote a tar stream."""

    overwrite: bool = False
    marker: str = ""
    service: Service | None = None
