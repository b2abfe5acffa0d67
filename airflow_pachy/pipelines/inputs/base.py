"""What every kind of input is: a node of a spec that names its sources and lists its datums.

A datum on its way is a plain tuple of `DatumInput`s; only `airflow_pachy.pipelines.datums` gives it
an id, because the id depends on the pipeline and the inputs do not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import PlainSerializer, PlainValidator, ValidationError
from pydantic_core import InitErrorDetails

from airflow_pachy.pipelines.models import SpecModel

if TYPE_CHECKING:
    from airflow_pachy.pipelines.inputs.pfs import PfsInput
    from airflow_pachy.pipelines.inputs.sources import DatumInput, InputChanges, Order, Sources

AnyInput = TypeVar("AnyInput", bound="Input")

KINDS: dict[str, type[Input]] = {}


class Input(SpecModel):
    """One node of a pipeline's input."""

    @property
    @abstractmethod
    def may_repeat(self) -> bool:
        """Whether the listing may hold one datum twice."""

    @abstractmethod
    def leaves(self) -> Iterator[PfsInput]:
        """The inputs that read a commit, in the order of the spec."""

    @abstractmethod
    def datums(self, sources: Sources) -> Iterator[tuple[DatumInput, ...]]:
        """The datums in listing order; without memory of what came before."""

    def placed(self, sources: Sources) -> Iterator[tuple[Order, tuple[DatumInput, ...]]]:
        """The datums in listing order, each with what it is ordered by."""
        return enumerate(self.datums(sources))

    def changes(self, new: Sources, old: Sources, limit: int) -> InputChanges | None:  # noqa: ARG002 - for those who can
        """What `new` lists and `old` does not, and the reverse, at the cost of what changed.

        None when that cannot be told or is more than about `limit` datums: then everything is listed.
        """
        return None

    def lists(self, sources: Sources, row: tuple[DatumInput, ...]) -> bool | None:  # noqa: ARG002 - for those who can
        """Whether the listing has a datum of this identity; None when that cannot be told without listing."""
        return None

    def rows_with_keys(
        self,
        sources: Sources,  # noqa: ARG002 - for those who can
        keys: Collection[str],  # noqa: ARG002 - as above
        template_name: str,  # noqa: ARG002 - as above
    ) -> Mapping[str, Sequence[tuple[Order, tuple[DatumInput, ...]]]] | None:
        """For a join or group around it: its datums by key, of those that have one of `keys`, each in listing order.

        `template_name` is the field that has the key's template. None when that cannot be told without listing.
        """
        return None

    @abstractmethod
    def to_spec(self) -> dict[str, Any]:
        """The node as a spec has it: one key, the kind, and its body."""

    @abstractmethod
    def check_names(self) -> None:
        """Raise `ValueError` when two inputs of one datum have the same name."""


def input_kind(*keys: str) -> Callable[[type[AnyInput]], type[AnyInput]]:
    """Class decorator: the keys a kind of input is written with in a spec."""

    def register(cls: type[AnyInput]) -> type[AnyInput]:
        KINDS.update(dict.fromkeys(keys, cls))
        return cls

    return register


def parse_input(value: Any) -> Input:
    """Read one input node, `{"pfs": {...}}` or another kind. Raises `ValueError` saying what is wrong with it."""
    if isinstance(value, Input):
        return value
    if not isinstance(value, Mapping):
        found = type(value).__name__
        raise ValueError(f"an input is an object with one key such as 'pfs' or 'cross', not {found}")  # noqa: TRY004 - pydantic's rule
    body = {key: item for key, item in value.items() if item is not None}
    if len(body) != 1:
        found = ", ".join(map(repr, body)) or "none"
        kinds = ", ".join(KINDS)
        raise ValueError(
            f"an input has exactly one kind ({kinds}), found {found}; combine several with 'cross' or 'union'"
        )
    ((kind, content),) = body.items()
    if kind not in KINDS:
        raise ValueError(f"unknown input kind {kind!r}; known: {', '.join(KINDS)}")
    try:
        return KINDS[kind].model_validate(content)
    except ValidationError as error:
        raise _below(kind, error) from error


def _below(kind: str, error: ValidationError) -> ValidationError:
    """The same problems, with the kind in their paths: pydantic merges them into those of the whole spec."""
    return ValidationError.from_exception_data(
        error.title,
        [
            InitErrorDetails(
                type=problem["type"],
                loc=(kind, *problem["loc"]),
                input=problem["input"],
                ctx=problem.get("ctx", {}),
            )
            for problem in error.errors(include_url=False)
        ],
    )


InputField = Annotated[Input, PlainValidator(parse_input), PlainSerializer(lambda node: node.to_spec())]
