"""A state machine for split, headers and footers: pieces as lists of bodies, frames as pairs, composed by the book."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.tree import Tree
from airflow_pachy.pfs.tree.entries import Put

DIRECTORIES = st.sampled_from(["", "d", "d/e", "d/e/g", "f"])
LINES = st.lists(st.sampled_from(["a\n", "bb\n", "c" * 600 + "\n"]), max_size=4)
FRAMES = st.sampled_from([None, b"", b"<", b"head\n", b"h" * 700])


@dataclass
class Model:
    """`pieces` by path, `frames` by directory."""

    pieces: dict[str, bytes] = field(default_factory=dict)
    frames: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)

    def around(self, directory: str) -> tuple[bytes, bytes]:
        names = directory.split("/") if directory else []
        above = ["", *("/".join(names[:count]) for count in range(1, len(names) + 1))]
        header = footer = b""
        for one in above:
            before, after = self.frames.get(one, (b"", b""))
            header, footer = header + before, after + footer
        return header, footer

    def whole(self, path: str) -> bytes:
        header, footer = self.around(path.rpartition("/")[0])
        return header + self.pieces[path] + footer

    def joined(self, directory: str = "") -> bytes:
        prefix = f"{directory}/" if directory else ""
        names = {path[len(prefix) :] for path in self.pieces if path.startswith(prefix)}
        if not names:
            return b""
        body = b""
        for name in sorted({f"{name.partition('/')[0]}/" if "/" in name else name for name in names}):
            below = prefix + name
            body += self.joined(below[:-1]) if name.endswith("/") else self.pieces[below]
        before, after = self.frames.get(directory, (b"", b""))
        return before + body + after

    def next_number(self, directory: str) -> int:
        prefix = f"{directory}/" if directory else ""
        numbers = [path[len(prefix) :] for path in self.pieces if path.startswith(prefix)]
        return max((int(name, 16) + 1 for name in numbers if "/" not in name), default=0)

    def set_frame(self, directory: str, header: bytes, footer: bytes) -> None:
        self.frames[directory] = (header, footer)
        if not header and not footer:
            del self.frames[directory]

    def delete(self, directory: str) -> None:
        def inside(path: str) -> bool:
            return not directory or path == directory or path.startswith(f"{directory}/")

        self.pieces = {path: body for path, body in self.pieces.items() if not inside(path)}
        self.frames = {path: frame for path, frame in self.frames.items() if not inside(path)}


class SplitAgainstLists(RuleBasedStateMachine):
    @initialize()
    def open(self):
        self.pfs = Pfs.open("memory://", "sqlite://")
        self.pfs.create_repo("r")
        self.head = Model()
        self.opened: Model | None = None

    def teardown(self):
        if hasattr(self, "pfs"):
            self.pfs.close()

    def current(self) -> Model:
        return self.head if self.opened is None else self.opened

    @rule(
        directory=DIRECTORIES, lines=LINES, header=FRAMES, footer=FRAMES, datums=st.integers(0, 2), over=st.booleans()
    )
    def split(self, directory, lines, header, footer, datums, over):
        model = self.current()
        self.pfs.put_split(
            f"r@master:/{directory}", "".join(lines), "line", datums, header=header, footer=footer, overwrite=over
        )
        former = self.head if self.opened is not None else copy.deepcopy(model)
        if over:
            model.delete(directory)
        if header is not None or footer is not None:
            now, before = (one.frames.get(directory, (b"", b"")) for one in (model, former))
            kept = [here and earlier for here, earlier in zip(now, before, strict=True)]
            model.set_frame(directory, kept[0] if header is None else header, kept[1] if footer is None else footer)
        number = model.next_number(directory)
        step = datums or 1
        for at in range(0, len(lines), step):
            name = f"{number:016x}"
            model.pieces[f"{directory}/{name}" if directory else name] = "".join(lines[at : at + step]).encode()
            number += 1

    @rule(directory=DIRECTORIES, header=FRAMES.filter(lambda one: one is not None))
    def set_header(self, directory, header):
        self.pfs.put_header(f"r@master:/{directory}", header)
        self.current().set_frame(directory, header, self.current().frames.get(directory, (b"", b""))[1])

    @rule(directory=DIRECTORIES, footer=FRAMES.filter(lambda one: one is not None))
    def set_footer(self, directory, footer):
        self.pfs.put_footer(f"r@master:/{directory}", footer)
        self.current().set_frame(directory, self.current().frames.get(directory, (b"", b""))[0], footer)

    @rule(directory=DIRECTORIES)
    def delete(self, directory):
        self.pfs.delete_file(f"r@master:/{directory}")
        self.current().delete(directory)

    @precondition(lambda self: self.current().pieces)
    @rule(data=st.data())
    def delete_a_piece(self, data):
        path = data.draw(st.sampled_from(sorted(self.current().pieces)))
        self.pfs.delete_file(f"r@master:/{path}")
        del self.current().pieces[path]

    @precondition(lambda self: self.opened is None)
    @rule()
    def start(self):
        self.pfs.start_commit("r@master")
        self.opened = copy.deepcopy(self.head)

    @precondition(lambda self: self.opened is not None)
    @rule(keep=st.booleans())
    def end(self, keep):
        if keep:
            self.pfs.finish_commit("r@master")
            self.head = self.opened
        else:
            self.pfs.drop_commit("r@master")
        self.opened = None

    @precondition(lambda self: hasattr(self, "pfs"))
    @invariant()
    def agrees(self):
        branch = next(iter(self.pfs.list_branches("r")), None)
        if branch is None or (branch.head is None and branch.open_commit is None):
            assert not self.current().pieces
            return
        model = self.current()
        files = [info for info in self.pfs.walk_file("r@master:/") if not info.is_dir]
        assert {info.path[1:]: self.pfs.get_file(f"r@master:{info.path}") for info in files} == {
            path: model.whole(path) for path in model.pieces
        }
        if model.pieces:
            assert b"".join(self.pfs.get_files("r@master", "/")) == model.joined()
        tree = self.pfs.tree("r@master")
        assert (len(tree), tree.size_bytes) == (len(model.pieces), sum(len(model.whole(path)) for path in model.pieces))
        fresh = Tree(self.pfs.store, None).apply(Put(entry) for entry in [*tree.entries("\0"), *tree.entries()])
        assert (tree.root.id if tree.root else None) == (fresh.root.id if fresh.root else None)


SplitAgainstLists.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSplitAgainstLists = SplitAgainstLists.TestCase
