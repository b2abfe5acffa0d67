"""What cross and union share: a body that is a list of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from airflow_pachy.pipelines.inputs.base import Input, InputField

if TYPE_CHECKING:
    from airflow_pachy.pipelines.inputs.pfs import PfsInput


class CombinedInput(Input):
    """Several inputs under one key."""

    key: ClassVar[str]

    members: tuple[InputField, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _body_is_a_list(cls, value: Any) -> Any:
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            return {"members": value}
        raise ValueError(f"{cls.key!r} takes a list of inputs, not {type(value).__name__}")

    def leaves(self) -> Iterator[PfsInput]:
        """The leaves of all members, in order."""
        for member in self.members:
            yield from member.leaves()

    def to_spec(self) -> dict[str, Any]:
        """`{"<kind>": [...]}`."""
        return {self.key: [member.to_spec() for member in self.members]}
