"""Nodes are plain Parquet, the same whichever of Arrow's modules writes it."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_pachy.pfs.tree import codec
from airflow_pachy.pfs.tree.entries import Content, Entry, Segment
from airflow_pachy.pfs.tree.rows import leaf_table
from airflow_pachy.pfs.tree.schema import INNER


def _leaf(count: int) -> pa.Table:
    entries = []
    for number in range(count):
        pack = Segment(f"packs/{number % 3}", number * 10, 10)
        content = (
            Content(bytes([number]) * 32, 10, segments=(pack,)) if number % 2 else Content(bytes(32), 1, inline=b"x")
        )
        entries.append(Entry(f"d/{number:04}", content, number % 5 == 0, None, number))
    return leaf_table(entries)


def _written_publicly(table: pa.Table, level: int) -> bytes:
    keys = "last" if level else "path"
    sink = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({b"pachy.level": str(level).encode()}),
        sink,
        compression="zstd",
        compression_level=3,
        row_group_size=max(1, table.num_rows),
        write_statistics=False,
        write_page_checksum=True,
        use_dictionary=False if level else ["segments.list.element.object", "datum"],
        column_encoding={keys: "DELTA_BYTE_ARRAY"},
    )
    return sink.getvalue()


@pytest.mark.parametrize(("table", "level"), [(_leaf(200), 0), (_leaf(1), 0), (INNER.empty_table(), 1)])
def test_a_node_is_what_arrows_public_module_writes(table, level, monkeypatch) -> None:
    body = codec.encode(table, level)
    assert body == _written_publicly(table, level)
    monkeypatch.setattr(codec, "_ParquetWriter", None)
    assert codec.encode(table, level) == body


def test_a_node_is_read_as_it_was_written() -> None:
    table = _leaf(200)
    assert codec.decode(codec.encode(table, 0), 0, "nodes/x").equals(table)
    assert pq.read_table(io.BytesIO(codec.encode(table, 0))).num_rows == 200
