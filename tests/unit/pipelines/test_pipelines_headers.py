"""Pieces of a split as datums: each sees its header, and a new header makes all of them run again."""

from __future__ import annotations


def test_each_piece_is_a_datum_with_its_header(bench):
    bench.document["input"]["pfs"]["glob"] = "/people/*"
    put = bench.pfs.put_split
    put("images@master:/people", "id,name\n1,ann\n2,ben\n", "csv", header_records=1, footer="end\n")
    bench.run()
    assert bench.output() == {
        "/people/0000000000000000": b"ID,NAME\n1,ANN\nEND\n",
        "/people/0000000000000001": b"ID,NAME\n2,BEN\nEND\n",
    }
    put("images@master:/people", "id,name\n3,cy\n", "csv", header_records=1)
    assert len(bench.process(bench.plan())) == 1, "the others are as they were"


def test_a_new_header_runs_every_piece_again_and_the_old_one_none(bench):
    bench.document["input"]["pfs"]["glob"] = "/people/*"
    bench.pfs.put_split("images@master:/people", "1\n2\n3\n", header="old\n")
    bench.run()
    bench.pfs.put_header("images@master:/people", "new\n")
    plan = bench.plan()
    assert (plan.to_run, plan.skipped) == (3, 0)
    bench.run()
    assert set(bench.output().values()) == {b"NEW\n1\n", b"NEW\n2\n", b"NEW\n3\n"}
    bench.pfs.put_header("images@master:/people", "old\n")
    plan = bench.plan()
    assert (plan.to_run, plan.skipped) == (0, 3)


def test_a_directory_of_pieces_is_one_datum_that_a_header_changes(bench):
    bench.pfs.put_split("images@master:/people", "1\n2\n", header="old\n")
    bench.put(other=b"x")
    bench.run()
    bench.pfs.put_header("images@master:/people", "new\n")
    assert bench.plan().to_run == 1
