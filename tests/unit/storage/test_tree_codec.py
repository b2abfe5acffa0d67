"""Nodes are plain Parquet, the same whichever of Arrow's modules writes it."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

from airflow_pachy.pfs.tree import codec
from airflow_pachy.pfs.tree.entries import Content, Entry, Segment
from airflow_pachy.pfs.tree.rows import inner_table, leaf_table
from airflow_pachy.pfs.tree.schema import make_ref

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree.refs import NodeRef

ROW = ("b", "a", bytes(32), "0" * 26, 2, 7)


def _leaf(count: int, datum: str | None = None) -> pa.Table:
    entries = []
    for number in range(count):
        pack = Segment(f"packs/{number % 3}", number * 10, 10)
        content = (
            Content(bytes([number]) * 32, 10, segments=(pack,)) if number % 2 else Content(bytes(32), 1, inline=b"x")
        )
        entries.append(Entry(f"d/{number:04}", content, number % 5 == 0, datum, number))
    return leaf_table(entries)


def _leaf_of(numbers: list[int]) -> pa.Table:
    return leaf_table([Entry(f"{number + 1:05}", Content(blake3(b"%d" % number).digest(), 9)) for number in numbers])


ELEMENT = "segments.list.element"


def _written_publicly(table: pa.Table, ref: NodeRef) -> bytes:
    if ref.level:
        options = {
            "compression": "zstd",
            "compression_level": 3,
            "use_dictionary": False,
            "column_encoding": {"last": "DELTA_BYTE_ARRAY"},
        }
    else:
        numbers = ("size", f"{ELEMENT}.offset", f"{ELEMENT}.length")
        held = [name for name in ("inline", "datum") if table[name].null_count < table.num_rows]
        compressed = ["path", f"{ELEMENT}.object", "mtime_us", *held]
        options = {
            "compression": dict.fromkeys(compressed, "zstd"),
            "compression_level": dict.fromkeys(compressed, 3),
            "use_dictionary": [name for name in (f"{ELEMENT}.object", "datum") if name in compressed],
            "column_encoding": {"path": "DELTA_BYTE_ARRAY", "executable": "RLE"}
            | dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
        }
    marked = table.replace_schema_metadata({b"pachy.level": b"%d" % ref.level, b"pachy.id": ref.id.encode()})
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, marked.schema, write_statistics=False, write_page_checksum=True, **options) as writer:
        writer.write_table(marked, row_group_size=max(1, table.num_rows))
    return sink.getvalue()


def _ref(table: pa.Table, level: int) -> NodeRef:
    return make_ref(table, level, "0" * 26)


@pytest.mark.parametrize(
    ("table", "level"), [(_leaf(200), 0), (_leaf(1), 0), (_leaf(7, "f" * 64), 0), (inner_table([ROW]), 1)]
)
def test_a_node_is_what_arrows_public_module_writes(table, level, monkeypatch) -> None:
    ref = _ref(table, level)
    body = codec.encode(table, ref)
    assert body == _written_publicly(table, ref)
    monkeypatch.setattr(codec, "GROUP_TARGET", 16)
    body = codec.encode(table, ref)
    monkeypatch.setattr(codec, "_ParquetWriter", None)
    assert codec.encode(table, ref) == body


@pytest.mark.parametrize("target", [4, 4_096])
def test_a_node_is_read_as_it_was_written(target, monkeypatch) -> None:
    monkeypatch.setattr(codec, "GROUP_TARGET", target)
    table = _leaf(200)
    body = codec.encode(table, _ref(table, 0))
    assert (pq.ParquetFile(io.BytesIO(body)).num_row_groups > 20) == (target == 4)
    assert codec.decode(body, 0, "nodes/x").equals(table)
    assert pq.read_table(io.BytesIO(body)).num_rows == 200


def test_row_groups_end_where_they_ended_before_rows_came_and_went(monkeypatch) -> None:
    monkeypatch.setattr(codec, "GROUP_TARGET", 16)
    numbers = [*range(1_000)]
    old = _leaf_of(numbers)
    ends = codec.group_ends(old)
    sizes = [end - start for start, end in itertools.pairwise([0, *ends])]
    assert ends[-1] == 1_000
    assert max(sizes) <= 64
    assert min(sizes[:-1]) > 4
    last = {old["path"][end - 1].as_py() for end in ends}
    for changed in ([-1, *numbers], numbers[100:], [*numbers[:500], *numbers[503:]], [*numbers, 1_001]):
        table = _leaf_of(sorted(changed))
        found = {table["path"][end - 1].as_py() for end in codec.group_ends(table)}
        assert len(found - last) <= 6
        assert len(found & last) >= (len(changed) - 150) * len(last) // 1_000
