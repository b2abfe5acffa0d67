"""A second reader of storage format 1, written from docs/spec/format-1.md alone: it imports nothing of the package.

It reads roots as directories: every file of every finished commit, with every hash and identity that the spec gives.
`Pfs` only writes the root that is read.
"""

import json
import random
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "format-1"


def read_commits(root: Path) -> dict[str, dict]:
    """The mirrors of the finished commits, by id."""
    stamp = json.loads((root / "format.json").read_bytes())
    assert (stamp["format"], stamp["hash"]) == (1, "blake3")
    mirrors = {}
    for place in sorted((root / "commits").glob("??/*.json")):
        mirror = json.loads(place.read_bytes())
        assert mirror["format"] == 1
        assert place.relative_to(root).as_posix() == f"commits/{mirror['id'][:2]}/{mirror['id']}.json"
        mirrors[mirror["id"]] = mirror
    return {name: mirror for name, mirror in mirrors.items() if mirror["state"] == "finished"}


def read_tree(root: Path, line: str | None) -> list[dict]:
    """The rows of a tree's leaves, in path order; every node checked against its id."""
    if not line:
        return []
    level, count, size, name = line.split(":")
    node_id, ulid = name.split(".")
    rows = list(read_node(root, int(level), node_id, ulid))
    assert len(rows) == int(count)
    assert sum(row["size"] for row in rows) == int(size)
    paths = [row["path"].encode() for row in rows]
    assert paths == sorted(set(paths))
    return rows


def read_node(root: Path, level: int, node_id: str, ulid: str):
    # A file of its own, not part of a dataset: without a buffer pyarrow would read directories into columns.
    body = pa.BufferReader((root / "nodes" / node_id[:2] / f"{node_id}.{ulid}").read_bytes())
    rows = pq.read_table(body).to_pylist()
    assert identity(level, rows) == node_id
    if level == 0:
        yield from rows
        return
    for child in rows:
        below = list(read_node(root, level - 1, child["id"].hex(), child["ulid"]))
        assert (below[0]["path"], below[-1]["path"]) == (child["first"], child["last"])
        assert (len(below), sum(row["size"] for row in below)) == (child["rows"], child["bytes"])
        yield from below


def identity(level: int, rows: list[dict]) -> str:
    if level:
        return blake3(b"pfs1-inner" + bytes([level]) + b"".join(row["id"] for row in rows)).hexdigest()
    paths = [row["path"].encode() for row in rows]
    parts = [
        b"pfs1-leaf",
        len(rows).to_bytes(8, "big"),
        *(len(path).to_bytes(4, "little") for path in paths),
        *paths,
        *(row["hash"] for row in rows),
        *(row["size"].to_bytes(8, "little", signed=True) for row in rows),
        *(bytes([row["executable"]]) for row in rows),
    ]
    return blake3(b"".join(parts)).hexdigest()


def read_content(root: Path, row: dict) -> bytes:
    """A file's bytes, each chunk and the whole checked."""
    segments = row["segments"] or []
    if not segments:
        assert row["size"] <= 512
        assert blake3(row["inline"]).digest() == row["hash"]
        return row["inline"]
    assert row["size"] > 512
    assert row["inline"] is None
    chunks = []
    for segment in segments:
        with (root / segment["object"]).open("rb") as pack:
            pack.seek(segment["offset"])
            chunks.append(pack.read(segment["length"]))
    if len(chunks) == 1:
        assert segments[0]["hash"] is None
        assert blake3(chunks[0]).digest() == row["hash"]
    else:
        digests = [blake3(chunk).digest() for chunk in chunks]
        assert digests == [segment["hash"] for segment in segments]
        ends = [len(chunk).to_bytes(8, "big") + digest for chunk, digest in zip(chunks, digests, strict=True)]
        assert blake3(b"pfs1-chunks" + b"".join(ends)).digest() == row["hash"]
    return b"".join(chunks)


def read_root(root: Path) -> dict[str, dict[str, tuple[bytes, bool]]]:
    """Commit id -> path -> content and exec bit."""
    return {
        name: {
            row["path"]: (read_content(root, row), row["executable"])
            for row in read_tree(root, mirror["tree"])
            if not row["path"].startswith("\0")
        }
        for name, mirror in read_commits(root).items()
    }


def read_frames(root: Path, line: str, directory: str) -> tuple[bytes, bytes]:
    """Everything before and after a piece in a directory."""
    values = {row["path"]: read_content(root, row) for row in read_tree(root, line) if row["path"].startswith("\0")}
    above = ["", *accumulate(directory.split("/"), "{}/{}".format)] if directory else [""]
    headers = [values.get(f"\0{one}/\0header", b"") for one in above]
    footers = [values.get(f"\0{one}/\0footer", b"") for one in above]
    return b"".join(headers), b"".join(reversed(footers))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A root on disk and what was put into it, by commit."""
    from airflow_pachy.pfs import Pfs

    place = tmp_path_factory.mktemp("format1")
    root, tool = place / "root", place / "tool.sh"
    tool.write_bytes(b"#!/bin/sh\n")
    tool.chmod(0o755)
    large = random.Random(1).randbytes(20 << 20)
    files = {
        "empty": (b"", False),
        "inline": (b"x" * 512, False),
        "packed": (b"y" * 513, False),
        "a/ö ü/=*?%": ("ß\n".encode(), False),
        "large": (large, False),
        "tool.sh": (b"#!/bin/sh\n", True),
    }
    many = {f"many/{number:06}": (b"%d" % number, False) for number in range(30_000)}
    with Pfs.open(storage=root.as_uri(), metadata=f"sqlite:///{place / 'pachy.db'}") as pfs:
        pfs.create_repo("data")
        with pfs.commit("data@master") as first:
            for path, (body, executable) in files.items():
                first.put_file(path, tool if executable else body)
        with pfs.commit("data@master") as second:
            second.delete_file("packed")
            for path, (body, _) in many.items():
                second.put_file(path, body)
        pfs.create_branch("data@side", head=second.id)
        with pfs.commit("data@side") as emptied:
            pfs.delete_file(f"{emptied}:/*")
        pfs.put_file("data@side:/dropped", b"z")
        dropped = pfs.inspect_commit("data@side").id
        pfs.drop_commit("data@side")
    after = {path: found for path, found in files.items() if path != "packed"} | many
    return root, {first.id: files, second.id: after, emptied.id: {}}, dropped


def test_the_spec_suffices_to_read_every_file_of_every_commit(written) -> None:
    root, expected, _ = written
    found = read_root(root)
    assert found.keys() == expected.keys()
    for name, files in expected.items():
        assert found[name] == files


def test_mirrors_tell_history_and_forget_what_was_dropped(written) -> None:
    root, expected, dropped = written
    first, second, emptied = expected
    commits = read_commits(root)
    assert dropped not in commits
    assert [commits[name]["parent"] for name in (first, second, emptied)] == [None, first, second]
    assert [commits[name]["branch"] for name in (first, second, emptied)] == ["master", "master", "side"]
    assert commits[emptied]["tree"] is None
    assert commits[second]["file_count"] == len(expected[second])


def test_large_files_are_cut_and_trees_have_levels_where_the_spec_says(written) -> None:
    root, expected, _ = written
    _, second, _ = expected
    line = read_commits(root)[second]["tree"]
    assert line.startswith("1:")
    rows = {row["path"]: row for row in read_tree(root, line)}
    lengths = [segment["length"] for segment in rows["large"]["segments"]]
    assert len(lengths) > 1
    assert all(1 << 20 <= length <= 12 << 20 for length in lengths[:-1])
    assert sum(lengths) == 20 << 20


def test_roots_hold_nothing_that_the_spec_does_not_name(written) -> None:
    root, _, _ = written
    named = {"format.json", "nodes", "packs", "commits", "refs", "jobs", "deltas"}
    assert {place.relative_to(root).parts[0] for place in root.rglob("*") if place.is_file()} <= named


def test_pieces_can_be_taken_out_of_their_frames(tmp_path) -> None:
    from airflow_pachy.pfs import Pfs

    with Pfs.open(storage=tmp_path.joinpath("root").as_uri(), metadata=f"sqlite:///{tmp_path / 'pachy.db'}") as pfs:
        pfs.create_repo("data")
        pfs.put_split("data@master:/a/b", "1\n2\n", header="b{", footer="}b" * 300)
        pfs.put_header("data@master:/a", "a{" * 400)
        pfs.put_footer("data@master:/", "}")
        head = pfs.inspect_commit("data@master").id
    mirror, files = read_commits(tmp_path / "root")[head], read_root(tmp_path / "root")[head]
    header, footer = read_frames(tmp_path / "root", mirror["tree"], "a/b")
    assert (header, footer) == (b"a{" * 400 + b"b{", b"}b" * 300 + b"}")
    assert {path: body for path, (body, _) in files.items()} == {
        f"a/b/{number:016x}": header + b"%d\n" % (number + 1) + footer for number in range(2)
    }
    assert (mirror["file_count"], mirror["size_bytes"]) == (2, sum(len(body) for body, _ in files.values()))


def test_the_golden_root_reads_the_same_way() -> None:
    expected = json.loads((GOLDEN.parent / "expected.json").read_text())
    found = {
        name: {path: [blake3(body).hexdigest(), executable] for path, (body, executable) in files.items()}
        for name, files in read_root(GOLDEN).items()
    }
    assert found == {
        name: {path: [facts["blake3"], facts["executable"]] for path, facts in commit["files"].items()}
        for name, commit in expected["commits"].items()
    }
