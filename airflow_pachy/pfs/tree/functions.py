"""Arrow's functions that trees are made with, without `pyarrow.compute`.

That module makes a Python function with signature and documentation of each of Arrow's three hundred when it is
imported, which takes as long as reading a small commit; the methods `take` and `filter` of tables import it too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import numpy.typing as npt

arrow: Any
try:
    arrow = import_module("pyarrow._compute")
except ImportError:  # an Arrow that has moved it: the public module has the same names
    arrow = import_module("pyarrow.compute")


def call(name: str, *arguments: Any) -> Any:
    """A function without options by its name."""
    return arrow.call_function(name, list(arguments))


def cast(values: Any, type_: pa.DataType) -> Any:
    """Values as others of a type that can hold them."""
    return arrow.call_function("cast", [values], arrow.CastOptions.safe(type_))


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the types, and the metadata, of a schema that has the same names in the same order.

    As `pa.Table.cast`, which imports `pyarrow.compute`. Raises `pa.ArrowInvalid` for other names, for values that the
    types cannot hold, and for nulls where there must not be any.
    """
    if table.schema.equals(schema, check_metadata=True):
        return table
    if table.schema.names != schema.names:
        raise pa.ArrowInvalid(f"columns {table.schema.names} where {schema.names} should be")
    columns = []
    for column, field in zip(table.columns, schema, strict=True):
        if column.null_count and not field.nullable:
            raise pa.ArrowInvalid(f"nulls in the column {field.name}")
        columns.append(column if column.type.equals(field.type) else cast(column, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def as_array(values: npt.NDArray[Any]) -> Any:
    """Numbers or truths of numpy as an array; `pa.array` imports numpy's masked arrays, to ask whether they are one."""
    if values.dtype == np.bool_:
        bits: Any = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
    numbers: Any = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(numbers)])


def take(values: Any, places: Any) -> Any:
    """The rows of an array or table at these places: an array, a list, or one of numpy's."""
    if isinstance(places, np.ndarray):
        places = as_array(places)
    elif isinstance(places, list):
        places = pa.array(places, pa.int64())
    return arrow.call_function("take", [values, places], arrow.TakeOptions())


def filtered(values: Any, mask: npt.NDArray[np.bool_]) -> Any:
    """The rows of an array or table whose mask is true."""
    return arrow.call_function("filter", [values, as_array(mask)], arrow.FilterOptions())


def sort_indices(values: Any) -> Any:
    """The places of values in ascending order."""
    return arrow.call_function("sort_indices", [values], arrow.SortOptions(()))


def is_in(values: Any, *, value_set: Any) -> Any:
    """Which values are in a set."""
    return arrow.call_function("is_in", [values], arrow.SetLookupOptions(value_set))


def index_in(values: Any, *, value_set: Any) -> Any:
    """The place of each value in a set; null for those that are not in it."""
    return arrow.call_function("index_in", [values], arrow.SetLookupOptions(value_set))


def struct_field(values: Any, place: int) -> Any:
    """A field of structs."""
    return arrow.call_function("struct_field", [values], arrow.StructFieldOptions([place]))


def fill_null(values: Any, value: Any) -> Any:
    """The values with another one where they are null."""
    return arrow.call_function("coalesce", [values, pa.scalar(value, values.type)])


def match_substring_regex(values: Any, pattern: str) -> Any:
    """Which texts match a regular expression."""
    return arrow.call_function("match_substring_regex", [values], arrow.MatchSubstringOptions(pattern))


def match_substring(values: Any, pattern: str) -> Any:
    """Which texts hold another one."""
    return arrow.call_function("match_substring", [values], arrow.MatchSubstringOptions(pattern))


def replace_substring_regex(values: Any, pattern: str, replacement: str) -> Any:
    """The texts with another one where a regular expression matches."""
    options = arrow.ReplaceSubstringOptions(pattern, replacement)
    return arrow.call_function("replace_substring_regex", [values], options)
