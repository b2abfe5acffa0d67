"""What all parts of a pipeline spec share: strict, immutable pydantic models that refuse unknown fields by name.

A field that is silently ignored is a pipeline that silently does something else, so every unknown
field is an error; for fields that Pachyderm had and we have not (yet), it says what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator

from airflow_pachy.pipelines.durations import format_duration, parse_duration

Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, when_used="json")]


class SpecModel(BaseModel):
    """Base of everything in a spec. `refused` maps a known but unsupported field to advice."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    refused: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        names = set(cls.model_fields)
        for name in value:
            if name in cls.refused and not _is_default(value[name]):
                raise ValueError(f"{name!r} is not supported: {cls.refused[name]}")
            if name not in names and name not in cls.refused:
                near = get_close_matches(str(name), names, n=1)
                hint = f", did you mean {near[0]!r}?" if near else f"; known here: {', '.join(sorted(names))}"
                raise ValueError(f"unknown field {name!r}{hint}")
        return {name: item for name, item in value.items() if name not in cls.refused}


def _is_default(value: Any) -> bool:
    """Exported specs carry every field with its zero value; such a field asks for nothing."""
    return value in (None, False, "", 0, [], {})


def nulls_dropped(value: Any) -> Any:
    """An explicit null means the same as an absent field, at any depth."""
    if isinstance(value, Mapping):
        return {key: nulls_dropped(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [nulls_dropped(item) for item in value]
    return value
