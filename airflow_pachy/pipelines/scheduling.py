"""Where a pipeline's pods run and what they carry: nodes, tolerations, labels, patches of the pod itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from airflow_pachy.pipelines.models import SpecModel
from airflow_pachy.pipelines.reading.patches import check_patch

_OPERATORS = {"EXISTS": "Exists", "EQUAL": "Equal", "EMPTY": None, "0": None, "1": "Exists", "2": "Equal"}
_EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
    "NO_EXECUTE": "NoExecute",
    "ALL_EFFECTS": None,
    "0": None,
    "1": "NoSchedule",
    "2": "PreferNoSchedule",
    "3": "NoExecute",
}


class SchedulingSpec(SpecModel):
    """Nodes with these labels, and a priority class."""

    node_selector: Mapping[str, str] = Field(default_factory=dict)
    priority_class_name: str = ""


class Toleration(SpecModel):
    """A Kubernetes toleration; enumerations may be spelled as Kubernetes or as Pachyderm does."""

    key: str = ""
    operator: str | None = None
    value: str = ""
    effect: str | None = None
    toleration_seconds: int | None = None

    @field_validator("operator", "effect", mode="before")
    @classmethod
    def _one_spelling(cls, value: Any, info: Any) -> Any:
        known = _OPERATORS if info.field_name == "operator" else _EFFECTS
        if value is None or value in known.values():
            return value
        if str(value).upper() not in known:
            names = ", ".join(sorted({name for name in known.values() if name}))
            raise ValueError(f"{value!r} is none of {names}")
        return known[str(value).upper()]

    def to_kubernetes(self) -> dict[str, Any]:
        """The toleration in Kubernetes' JSON."""
        named = {
            "key": self.key,
            "operator": self.operator,
            "value": self.value,
            "effect": self.effect,
            "tolerationSeconds": self.toleration_seconds,
        }
        return {name: value for name, value in named.items() if value not in (None, "")}


class PodMetadata(SpecModel):
    """Labels and annotations of the pods."""

    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)


def _decoded(value: Any) -> Any:
    """Specs have pod_spec and pod_patch as JSON inside a string."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error


def _no_object_is_empty(value: Any) -> Any:
    return _decoded(value) or {}


def _checked_patch(value: Any) -> Any:
    operations = _decoded(value) or []
    check_patch(operations)
    return operations


PodSpecPatch = Annotated[Mapping[str, Any], BeforeValidator(_no_object_is_empty)]
"""A JSON merge patch (RFC 7396) of a pod's spec."""

PodPatch = Annotated[tuple[Mapping[str, Any], ...], BeforeValidator(_checked_patch)]
"""A JSON patch (RFC 6902) of a pod's spec."""
