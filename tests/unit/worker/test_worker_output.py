from airflow_pachy.worker.output import LONGEST_LINE_BYTES, OutputLog, decode_tail
from airflow_pachy.worker.runner import LOG_TAIL_BYTES


def test_output_is_logged_by_line_however_it_arrives():
    lines = []
    output = OutputLog(lines.append)
    for data in (b"one\ntw", b"o", b"\n\nlast"):
        output.feed(data)
    assert lines == ["one", "two", ""]
    output.end()
    output.end()
    assert lines == ["one", "two", "", "last"]
    assert output.tail() == "one\ntwo\n\nlast"


def test_a_character_cut_in_two_pieces_stays_whole():
    lines = []
    output = OutputLog(lines.append)
    for byte in "日本\n".encode():
        output.feed(bytes([byte]))
    assert lines == ["日本"]


def test_bytes_that_are_not_text_are_shown_somehow():
    lines = []
    OutputLog(lines.append).feed(b"\xff\xfe\n")
    assert lines == ["��"]


def test_endless_lines_do_not_fill_the_memory():
    lines = []
    output = OutputLog(lines.append)
    for _ in range(64):
        output.feed(b"x" * (8 << 10))
    assert max(map(len, lines)) <= LONGEST_LINE_BYTES + (8 << 10)
    assert len(output.tail()) == LOG_TAIL_BYTES


def test_the_tail_is_the_end_from_a_line_start():
    output = OutputLog(lambda line: None)
    for number in range(10_000):
        output.feed(b"line %d\n" % number)
    tail = output.tail()
    assert tail.endswith("line 9999\n")
    assert tail.startswith("line ")
    assert len(tail) <= LOG_TAIL_BYTES


def test_a_short_tail_is_all_there_was():
    assert decode_tail(b"a\nb\n") == "a\nb\n"
    assert decode_tail(b"") == ""
