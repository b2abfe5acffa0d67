"""Make the golden root of storage format 1: `PYTHONPATH=. python tests/golden/make.py`, from the repository's top.

The root in `format-1/` was made once and stays, so that later versions prove that they still read what this one wrote;
make another one only for another format. What else a root may hold is added to it, as the repo `pieces` was with
`--add-pieces`. No file of several chunks is in it: the smallest has more than 1 MiB and packs are not compressed.
tests/unit/storage/test_format_1_reader.py reads such a file from a root made on the spot.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from blake3 import blake3

from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.tree import Directory

HERE = Path(__file__).resolve().parent
ATTRIBUTES = "\0"
FILES: dict[str, bytes] = {
    "README": b"The golden root.\n",
    "empty": b"",
    "inline-512": b"i" * 512,
    "packed-513": b"p" * 513,
    "packed-20k": bytes(number * number % 251 for number in range(20_000)),
    "a/b/c/deep": b"deep\n",
    "a/b.txt": b"beside the directory\n",
    "a.txt": b"before the directory\n",
    "odd/with space": b"1",
    "odd/[star]*?{x}": b"2",
    "odd/=equals=%41:@^": b"3",
    "odd/ünïcödé ☃ 𝄞": b"4",
    "odd/.hidden": b"5",
    **{f"many/{number:04}": b"%d\n" % number for number in range(60)},
}


def make(root: Path) -> dict[str, object]:
    """Write the root and return what a reader must find in it."""
    if root.exists():
        sys.exit(f"{root} exists: the golden root is made once; give another path")
    with tempfile.TemporaryDirectory() as scratch:
        tool = Path(scratch, "tool.sh")
        tool.write_bytes(b"#!/bin/sh\necho tool\n")
        tool.chmod(0o755)
        with Pfs.open(storage=root.as_uri(), metadata=f"sqlite:///{scratch}/pachy.db", principal="golden") as pfs:
            pfs.create_repo("data")
            with pfs.commit("data@master", description="first") as first:
                for path, body in FILES.items():
                    first.put_file(path, body)
                first.put_file("bin/tool.sh", tool)
            pfs.create_branch("data@side", head=first.id)
            with pfs.commit("data@master", description="second") as second:
                second.delete_file("a/b/c/deep")
                second.put_file("README", b"Changed.\n")
                second.put_file("packed-513", b" and appended", append=True)
            with pfs.commit("data@side", description="beside") as side:
                side.put_file("only/here", b"s" * 1_000)
            pfs.create_repo("derived")
            with pfs.commit("derived@master", description="derived", provenance=[f"data@{second.id}"]) as derived:
                derived.put_file("out", b"o" * 600)
            with pfs.commit("derived@master", description="emptied") as emptied:
                emptied.delete_file("out")
            handles = {"data": (first, second, side), "derived": (derived, emptied)}
            commits = {one.id: describe(pfs, repo, one.id) for repo, commits in handles.items() for one in commits}
    return {"commits": {**commits, **add_pieces(root)}}


def add_pieces(root: Path) -> dict[str, object]:
    """Add the repo `pieces`: files that were split, with the headers and footers of their directories."""
    rows = b"id,name\n" + b"".join(b"%d,%s\n" % (number, b"n" * 200) for number in range(7))
    with tempfile.TemporaryDirectory() as scratch:
        with Pfs.open(storage=root.as_uri(), metadata=f"sqlite:///{scratch}/pachy.db", principal="golden") as pfs:
            pfs.create_repo("pieces")
            with pfs.commit("pieces@master", description="split") as split:
                split.put_split("users/csv", rows, "csv", target_file_datums=3, header_records=1)
                split.put_split("users/lines", b"a\nb\n", footer=b"-- end\n")
                split.put_file("users/csv/notes", b"no piece, so no header\n")
            with pfs.commit("pieces@master", description="framed from above") as framed:
                framed.put_header("users", b"# all users\n")
                framed.put_footer("users", b"# that was all\n")
                framed.put_file("users/csv/0000000000000001", b"replaced: what a directory says is not around it\n")
            with pfs.commit("pieces@master", description="another header, no footer") as changed:
                changed.put_header("users/csv", b"number,name\n")
                changed.put_footer("users/lines", b"")
            return {one.id: describe(pfs, "pieces", one.id) for one in (split, framed, changed)}


def describe(pfs: Pfs, repo: str, commit: str) -> dict[str, object]:
    """A commit's facts, files with hashes, and the listing of its top directory."""
    info = pfs.inspect_commit(f"{repo}@{commit}")
    tree = pfs.tree(f"{repo}@{commit}")
    return {
        "repo": repo,
        "branch": info.branch,
        "parent": None if info.parent is None else info.parent.rpartition("@")[2],
        "description": info.description,
        "root_id": None if tree.root is None else tree.root.id,
        "directory_hash": tree.hash_of("").hex(),
        "attributes": {
            entry.path: pfs.content_reader.read(entry.content).decode() for entry in tree.entries(ATTRIBUTES)
        },
        "top": [f"{found.path}/" if isinstance(found, Directory) else found.path for found in tree.list()],
        "files": {
            entry.path: {
                "size": entry.content.size_bytes,
                "hash": entry.content.hash.hex(),
                "blake3": blake3(pfs.content_reader.read(entry.content)).hexdigest(),
                "executable": entry.executable,
            }
            for entry in tree.entries()
        },
    }


if __name__ == "__main__":
    expected: dict[str, object]
    if sys.argv[1:] == ["--add-pieces"]:
        known = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))["commits"]
        expected = {"commits": {**known, **add_pieces(HERE / "format-1")}}
    else:
        expected = make(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE / "format-1")
    text = json.dumps(expected, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    (HERE / "expected.json").write_text(text, encoding="utf-8")
