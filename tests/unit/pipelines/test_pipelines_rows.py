import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.tree.entries import Content, Entry, Segment
from airflow_pachy.pipelines.rows import DatumRow, RowInput, read_row

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
rows = st.builds(
    DatumRow,
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.sampled_from(["pending", "success", "failed", "recovered"]),
    text,
    text,
    st.lists(st.builds(RowInput, text, text, text), max_size=3).map(tuple),
    text,
    st.one_of(st.none(), text.filter(bool)),
    st.integers(0, 2**40),
)


@given(rows)
def test_a_row_is_read_back_from_both_kinds_of_tree(row):
    assert read_row(row.put().entry) == row
    assert read_row(row.remember().entry) == row


@given(rows)
def test_unfinished_rows_sort_before_all_others(row):
    assert (row.put().entry.path < "0") == (row.state != "success")


def test_a_nul_in_a_programs_last_words_does_no_harm():
    row = DatumRow("0" * 32, "failed", "j", "new", (RowInput("images", "a", "ff"),), error="a\0b")
    assert read_row(row.put().entry).error == "a\ufffdb"
    assert read_row(row.put().entry).inputs == row.inputs


@pytest.mark.parametrize("body", [b"", b"success", b"success\0j\0new\0\0\0not a number"])
def test_a_damaged_row_is_corrupt(body):
    with pytest.raises(Corrupt, match="not a datum row"):
        read_row(Entry("0" * 32, Content(hash_bytes(body), len(body), inline=body)))


def test_a_row_outside_its_entry_is_corrupt():
    content = Content(bytes(32), 9, (Segment("packs/x", 0, 9),))
    with pytest.raises(Corrupt, match="no inline row"):
        read_row(Entry("0" * 32, content))
