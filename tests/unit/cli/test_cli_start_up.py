"""A command starts quickly, and leaves its process as it was for what it starts in turn."""

import os
import subprocess
import sys

import pytest

from airflow_pachy.cli import main
from airflow_pachy.cli.session import environment_of_programs
from airflow_pachy.pfs import Pfs

# What takes long to import, or is a sign that more was imported than the command needs.
SQL = {"sqlalchemy", "alembic", "airflow_pachy.metadata.database"}
ARROW = {"pyarrow", "numpy"}
WRITING = {"airflow_pachy.pfs.puts", "airflow_pachy.pfs.content.writer", "airflow_pachy.pfs.tree.merge"}
NEVER = {
    "airflow",
    "boto3",
    "rich",
    "pydantic",
    "kubernetes",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.fs",
    "pyarrow.parquet",
    "numpy.ma",
    "numpy.typing",
    "asyncio",
}


@pytest.mark.parametrize(
    ("name", "given"),
    [("OPENBLAS_NUM_THREADS", None), ("OPENBLAS_NUM_THREADS", "7"), ("ARROW_DEFAULT_MEMORY_POOL", None)],
)
def test_threads_for_algebra_and_memory_are_the_users_choice(name, given, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv(name, given)
    places = ["--storage", f"file://{tmp_path}/store", "--metadata", f"sqlite:///{tmp_path}/metadata.db"]
    assert main([*places, "create", "repo", "images"]) == 0
    assert main([*places, "list", "repo"]) == 0
    assert "images" in capsys.readouterr().out
    assert os.environ.get(name) == given


@pytest.mark.parametrize(
    ("command", "without"),
    [
        ("get file r@master:/a", SQL | WRITING | NEVER),
        ("list file r@master", SQL | WRITING | NEVER),
        ("list file -r r@master:/", SQL | WRITING | NEVER),
        ("inspect file r@master:/a", SQL | WRITING | NEVER),
        ("diff file r@master", SQL | WRITING | NEVER),
        ("put file r@master:/c -f {local}", SQL | NEVER),
        ("put file -r r@master:/c -f {folder}", SQL | NEVER),
        ("put file r@new:/c -f {local}", SQL | NEVER),
        ("copy file r@master:/a r@master:/c", SQL | NEVER),
        ("delete file r@master:/a", SQL | NEVER),
        ("list repo", ARROW | WRITING | NEVER - {"asyncio"}),
    ],
)
def test_a_command_imports_what_it_needs(command, without, tmp_path) -> None:
    storage, metadata = f"file://{tmp_path}/store", f"sqlite:///{tmp_path}/metadata.db"
    with Pfs.open(storage, metadata) as pfs:
        pfs.create_repo("r")
        pfs.put_file("r@master:/a", b"1")
        pfs.put_file("r@master:/b", b"2")
    code = (
        "import sys; from airflow_pachy.cli import main; assert main(sys.argv[1:]) == 0;"
        f"print(*sorted({without!r} & set(sys.modules)), file=sys.stderr)"
    )
    words = [sys.executable, "-c", code, "--storage", storage, "--metadata", metadata]
    local = tmp_path / "folder" / "local"
    local.parent.mkdir()
    local.write_bytes(b"3")
    given = command.format(local=local, folder=local.parent).split()
    ran = subprocess.run([*words, *given], capture_output=True, text=True, check=True)
    assert ran.stderr.split() == []


def test_programs_that_a_command_starts_get_the_environment_that_it_got(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    seen = []
    close = Pfs.close
    monkeypatch.setattr(
        Pfs, "close", lambda self: (seen.append((dict(os.environ), environment_of_programs())), close(self))
    )
    places = ["--storage", f"file://{tmp_path}/store", "--metadata", f"sqlite:///{tmp_path}/metadata.db"]
    assert main([*places, "list", "repo"]) == 0
    ((ours, theirs),) = seen
    assert ours["ARROW_DEFAULT_MEMORY_POOL"] == "system"
    assert "ARROW_DEFAULT_MEMORY_POOL" not in theirs
    assert theirs["OPENBLAS_NUM_THREADS"] == "7"


@pytest.mark.parametrize(("command", "code"), [("list repo", 0), ("inspect repo nope", 1), ("list nonsense", 2)])
def test_the_program_ends_with_the_code_of_the_command(command, code, tmp_path) -> None:
    places = ["--storage", f"file://{tmp_path}/store", "--metadata", f"sqlite:///{tmp_path}/metadata.db"]
    ran = subprocess.run(
        [sys.executable, "-m", "airflow_pachy.cli", *places, *command.split()], capture_output=True, check=False
    )
    assert ran.returncode == code
    assert bool(ran.stderr) == (code != 0)


@pytest.mark.parametrize("before", ["", "atexit.register(print, 'first');"])
def test_the_program_waits_for_threads_and_exit_handlers_and_loses_no_output(before) -> None:
    code = (
        f"import atexit, sys, threading; {before}\n"
        "import airflow_pachy.cli as cli\n"
        "def late():\n"
        "    threading.main_thread().join(0.01)\n"
        "    print('thread')\n"
        "def main():\n"
        "    atexit.register(print, 'handler')\n"
        "    threading.Thread(target=late).start()\n"
        "    print('x' * 100_000)\n"
        "    return 3\n"
        "cli.main = main\n"
        "cli.program()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 3
    assert ran.stdout.split() == ["x" * 100_000, "thread", "handler", *(["first"] if before else [])]


def test_output_that_cannot_be_written_is_no_success() -> None:
    code = "import airflow_pachy.cli as cli; cli.main = lambda: print('x') or 0; cli.program()"
    with open("/dev/full", "w") as full:
        ran = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode != 0
    assert "No space left" in ran.stderr
