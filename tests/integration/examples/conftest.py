"""Examples run as their pages in `docs/examples` say: the page is the test, its outputs are what is expected.

`follow("wordcount")` types the lines of the page's `console` blocks, in order. Lines below a command are its output, in
which `...` stands for anything. `airflow dags test ID` is answered by one process that all pages share, because to
start Airflow takes longer than all of an example; `pachy` runs in this process. One Airflow home and one store per
test process: examples have repos of their own.
"""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.dag_runs import embedded_store, start_airflow
from support.pages import commands

from airflow_pachy.cli import main

ROOT = Path(__file__).parents[3]
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"\$\(|&&|;|>")


@pytest.fixture(scope="session")
def airflow(tmp_path_factory):
    """An Airflow with the embedded store and the DAGs of `dags_examples/`."""
    home = tmp_path_factory.mktemp("airflow")
    # `dag.test()` parses and writes to the database everything in the DAGs folder, for every run: so the process knows
    # all examples, and that folder has only the one whose page is followed.
    shop = {"conn_type": "sqlite", "host": str(home / "shop.db")}
    process = start_airflow(
        home,
        ROOT / "dags_examples",
        AIRFLOW__CORE__DAGS_FOLDER=str(home / "dags"),
        AIRFLOW_CONN_SHOP_DB=json.dumps(shop),
    )
    yield process
    process.close()


@pytest.fixture
def pfs(airflow):
    """The store of that Airflow."""
    with embedded_store(airflow) as pfs:
        yield pfs


@dataclass
class Follower:
    """Types what a page says; `runs` are the runs of DAGs so far, by DAG."""

    airflow: object
    captured: object
    monkeypatch: object
    runs: dict = field(default_factory=dict)

    def __call__(self, page):
        self.put_into_dags_folder(f"{page.replace('-', '_')}.py")
        for block in _CONSOLE.findall((ROOT / "docs" / "examples" / f"{page}.md").read_text()):
            for command, expected in commands(block):
                printed = self.type(command)
                assert not expected or matches(printed, expected), f"$ {command}\n{printed}\nexpected:\n{expected}"

    def put_into_dags_folder(self, file):
        folder = self.airflow.home / "dags"
        folder.mkdir(exist_ok=True)
        for link in folder.glob("*.py"):  # there may be a __pycache__ beside
            link.unlink()
        (folder / file).symlink_to(ROOT / "dags_examples" / file)

    def type(self, line):
        words = shlex.split(line, comments=True)
        if words[:3] == ["airflow", "dags", "test"]:
            return self.run(words[3], *words[4:])
        *feeding, last = line.split(" | ")
        if not last.startswith("pachy ") or _SHELL.search(last):
            return self.shell(line).decode()
        fed = self.shell(" | ".join(feeding)) if feeding else b""
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(fed)))
        self.captured.readouterr()
        code = main([os.path.expandvars(word) for word in shlex.split(last, comments=True)[1:]])
        out, err = self.captured.readouterr()
        assert code == 0, f"$ {line}\n{err.decode()}"
        return out.decode()

    def run(self, dag, *options):
        """`airflow dags test DAG [DATE] [--conf JSON]`."""
        date = options[0] if len(options) % 2 else None
        named = options[1:] if date else options
        conf = json.loads(dict(zip(named[::2], named[1::2], strict=True)).get("--conf", "{}"))
        run = self.airflow.run(dag, logical_date=date, **conf)
        assert run.state == "success", run.log[-6000:]
        self.runs.setdefault(dag, []).append(run)
        return ""

    def shell(self, line):
        done = subprocess.run(["sh", "-c", line], capture_output=True, check=False)
        assert done.returncode == 0, f"$ {line}\n{done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout


def matches(printed, expected):
    """Line by line; `...` is anything in a line, and alone in it any lines. How wide columns are does not matter."""
    lines = [re.escape(line).replace(r"\.\.\.", ".*?") + "\n" for line in plain(expected)]
    pattern = "".join("(?:.*\n)*?" if line == ".*?\n" else line for line in lines)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in plain(printed))) is not None


def plain(text):
    return [re.sub(r" {2,}", "  ", line.rstrip()) for line in text.rstrip().splitlines()]


@pytest.fixture
def follow(airflow, tmp_path, monkeypatch, capfdbinary):
    """`follow(page)`, in a directory where `dags_examples` is."""
    for name in [name for name in os.environ if name.startswith(("PACHY_", "AIRFLOW"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW_HOME", str(airflow.home))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dags_examples").symlink_to(ROOT / "dags_examples")
    return Follower(airflow, capfdbinary, monkeypatch)
