"""No input at all, which is what a spout has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.pipelines.inputs.base import Input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pipelines.inputs.pfs import PfsInput
    from airflow_pachy.pipelines.inputs.sources import DatumInput, Sources


class NoInput(Input):
    """Reads nothing and has no datums; not to be written in a spec."""

    @property
    def may_repeat(self) -> bool:
        """There is nothing to repeat."""
        return False

    def leaves(self) -> Iterator[PfsInput]:
        """None."""
        return iter(())

    def datums(self, sources: Sources) -> Iterator[tuple[DatumInput, ...]]:  # noqa: ARG002 - the signature is the base's
        """None."""
        return iter(())

    def to_spec(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def check_names(self) -> None:
        """There are none."""
