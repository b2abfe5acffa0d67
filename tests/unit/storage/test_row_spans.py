"""Reads that are planned by column are those that are planned file by file."""

from __future__ import annotations

from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pachy.pfs.content.row_spans import SingleRows
from airflow_pachy.pfs.content.spans import GAP_BYTES, SPAN_BYTES, Piece, plan_spans
from airflow_pachy.pfs.tree import Content, Entry, Segment
from airflow_pachy.pfs.tree.rows import leaf_table


def entry_of(path: str, *segments: Segment, inline: bytes | None = None) -> Entry:
    size = sum(segment.length for segment in segments) + len(inline or b"")
    digest = path.encode().ljust(32, b".")
    return Entry(path, Content(digest, size, segments, inline), len(path) % 2 == 0, None, 10**6 + len(path))


# Where files lie: one after the other, in some of three packs, sometimes with a hole that others left.
_HOLES = st.sampled_from([0, 0, 0, 1, GAP_BYTES, GAP_BYTES + 1, 3 * GAP_BYTES])
_LENGTHS = st.sampled_from([1, 4_096, GAP_BYTES, SPAN_BYTES // 2, SPAN_BYTES - 1, SPAN_BYTES, SPAN_BYTES + 1])
_PLACES = st.lists(st.tuples(st.integers(0, 2), _HOLES, _LENGTHS), max_size=40)


def entries_at(places: list[tuple[int, int, int]]) -> list[Entry]:
    ends = [0, 0, 0]
    found = []
    for number, (pack, hole, length) in enumerate(places):
        offset = ends[pack] + hole
        ends[pack] = offset + length
        found.append(entry_of(f"f{number:04}", Segment(f"packs/{pack}", offset, length, None)))
    return found


@given(places=_PLACES, shuffled=st.randoms(use_true_random=False))
def test_spans_are_those_of_pieces(places, shuffled) -> None:
    entries = entries_at(places)
    shuffled.shuffle(entries)
    pieces = [Piece(*_place(entry), entry.path) for entry in entries]
    expected = {
        (span.object, span.offset, span.end): [piece.purpose for piece in span.pieces] for span in plan_spans(pieces)
    }
    rows = SingleRows(leaf_table(entries))
    found = {(name, offset, end): rows.paths(part) for name, offset, end, part in rows.spans(repeat(SPAN_BYTES))}
    assert found == expected
    assert not len(rows.others)


@given(places=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(1, 9)), max_size=60))
def test_files_that_share_bytes_are_in_a_span_that_has_them(places) -> None:
    entries = [
        entry_of(f"{number:04}", Segment(f"packs/{pack}", offset << 20, length << 20, None))
        for number, (pack, offset, length) in enumerate(places)
    ]
    by_path = {entry.path: entry for entry in entries}
    rows = SingleRows(leaf_table(entries))
    met = []
    for name, offset, end, part in rows.spans(chain((1 << 20,), repeat(SPAN_BYTES))):
        paths = rows.paths(part)
        assert len(paths) == 1 or end - offset <= SPAN_BYTES
        for path in paths:
            place = _place(by_path[path])
            assert place[0] == name
            assert offset <= place[1]
            assert place[1] + place[2] <= end
        met += paths
    assert sorted(met) == sorted(by_path)


def _place(entry: Entry) -> tuple[str, int, int]:
    segment = entry.content.segments[0]
    return segment.object, segment.offset, segment.length


def test_parts_say_all_that_there_is_to_write() -> None:
    entries = entries_at([(0, 5, 10), (1, 0, 20), (0, 2, 30)])
    rows = SingleRows(leaf_table(entries))
    (first, second) = rows.spans(repeat(SPAN_BYTES))
    assert first[:3] == ("packs/0", 5, 47)
    assert second[:3] == ("packs/1", 0, 20)
    one, other = entries[0], entries[2]
    assert rows.parts(first[3], 5, ["a", "b"]) == [
        (0, 10, one.content.hash, "a", one.executable, one.mtime_us, 0, None),
        (12, 30, other.content.hash, "b", other.executable, other.mtime_us, 0, None),
    ]


def test_others_are_told_apart() -> None:
    two = (Segment("packs/0", 0, 5, b"1" * 32), Segment("packs/1", 0, 5, b"2" * 32))
    entries = [entry_of("a", inline=b"x"), entry_of("b", Segment("packs/0", 5, 1, None)), entry_of("c", *two)]
    rows = SingleRows(leaf_table(entries))
    assert rows.others["path"].to_pylist() == ["a", "c"]
    assert [rows.paths(part) for *_, part in rows.spans(repeat(SPAN_BYTES))] == [["b"]]


@pytest.mark.parametrize("entries", [[], [entry_of("a", inline=b"x")]])
def test_nothing_to_read_is_no_span(entries) -> None:
    assert list(SingleRows(leaf_table(entries)).spans(repeat(SPAN_BYTES))) == []
