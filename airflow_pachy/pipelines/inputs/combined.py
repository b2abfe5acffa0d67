"""What cross, union, join and group share: a body that is a list of inputs."""

from __future__ import annotations

from collections import Counter
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

    def check_distinct_names(self) -> None:
        """For kinds whose members meet in one datum. Raises `ValueError` naming those that share a name."""
        seen: Counter[str] = Counter()
        for member in self.members:
            member.check_names()
            seen.update({leaf.name for leaf in member.leaves()})
        if repeated := sorted(name for name, count in seen.items() if count > 1):
            raise ValueError(
                f"inputs {', '.join(map(repr, repeated))} of a {self.key} would share a directory under /pfs: "
                "give each its own 'name' (it defaults to the repo)"
            )

    def leaves(self) -> Iterator[PfsInput]:
        """The leaves of all members, in order."""
        for member in self.members:
            yield from member.leaves()

    def to_spec(self) -> dict[str, Any]:
        """`{"<kind>": [...]}`."""
        return {self.key: [member.to_spec() for member in self.members]}
