import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from airflow_pachy.worker.local import LocalRunner, NamespaceRefused
from airflow_pachy.worker.runner import Command, RunnerGone


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def runner(lines):
    try:
        with LocalRunner(log=lines.append, kill_grace_seconds=0.5) as runner:
            yield runner
    except NamespaceRefused as error:
        pytest.skip(str(error))


@pytest.fixture
def run(runner):
    def run(*argv: str, **details):
        details.setdefault("env", {})
        return runner.slots[0].run(Command("d" * 32, argv, **details))

    return run


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_pfs_is_real_for_the_command_and_for_nobody_else(runner, run):
    existed = Path("/pfs").exists()
    slot = runner.slots[0]
    (slot.pfs / "in").mkdir()
    (slot.pfs / "in" / "a").write_text("content")
    end = run("sh", "-c", "cat /pfs/in/a > /pfs/out; test -d /pfs/in")
    assert end.code == 0
    assert (slot.pfs / "out").read_text() == "content"
    assert Path("/pfs").exists() == existed


def test_the_rest_of_the_machine_is_there(run, tmp_path):
    (tmp_path / "file").write_text("x")
    end = run("sh", "-c", f"cat {tmp_path}/file; id -u; pwd; ls /proc/self/status /usr/bin/env")
    assert end.log_tail.splitlines()[:3] == [f"x{os.getuid()}", str(Path.cwd()), "/proc/self/status"]


def test_the_root_directory_cannot_be_written(run):
    end = run("sh", "-c", "touch /written-by-a-datum")
    assert end.code != 0
    assert not Path("/written-by-a-datum").exists()


def test_the_log_lines_surround_the_output(run, lines):
    run("sh", "-c", "echo out; echo err >&2")
    assert lines == [
        f"::group::pfs: datum {'d' * 32} start",
        "out",
        "err",
        f"pfs: datum {'d' * 32} end 0",
        "::endgroup::",
    ]


def test_stdin_is_the_joined_lines_or_nothing(run):
    assert run("cat", stdin=("a", "b")).log_tail == "a\nb\n"
    assert run("cat").log_tail == ""
    assert run("true", stdin=("x" * 70_000,) * 20).code == 0  # more than a pipe holds, and nobody reads it


def test_only_named_variables_are_passed_on(run, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    tail = run("env", env={"MINE": "it's", "odd-name": "x"}).log_tail.splitlines()
    assert "MINE=it's" in tail
    assert "odd-name=x" in tail
    assert f"PATH={os.environ['PATH']}" in tail
    assert not [line for line in tail if "secret" in line]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("no-such-program", 127)]
)
def test_exit_codes_follow_the_shell(run, script, code):
    assert run("sh", "-c", script).code == code


def test_a_program_that_is_not_there(run):
    end = run("no-such-program")
    assert end.code == 127
    assert "no-such-program" in end.reason(None)


def test_a_file_that_is_no_program(run, tmp_path):
    (tmp_path / "text").write_text("text")
    assert run(str(tmp_path / "text")).code == 126


def test_a_working_directory(run):
    assert run("pwd", working_dir="/usr").log_tail == "/usr\n"
    end = run("pwd", working_dir="/no/such/place")
    assert end.code == 127
    assert "/no/such/place" in end.reason(None)


def test_a_timeout_ends_the_command_politely_first(run):
    end = run("sh", "-c", "trap 'echo told; exit 7' TERM; sleep 30 & wait", timeout_seconds=0.3)
    assert (end.code, end.timed_out, end.log_tail) == (7, True, "told\n")
    assert "0.3 s" in end.reason(0.3)


def test_a_timeout_kills_what_will_not_listen(run):
    end = run("sh", "-c", "trap '' TERM; sleep 6000", timeout_seconds=0.2)
    assert (end.code, end.timed_out) == (137, True)


# Their ids do not name the command: a test runner may show the running test's id as the title of its process.
@pytest.mark.parametrize(
    "how",
    ["sleep 6000 &", "setsid sleep 6000 &", "(setsid sh -c 'sleep 6000 & wait' &)"],
    ids=["a job", "a session", "a grandchild"],
)
def test_nothing_that_a_command_started_outlives_it(run, how):
    end = run("sh", "-c", f"{how}\nps -eo pid,args | grep '[s]leep 6000'; echo bye")
    assert end.code == 0
    assert not [line for line in end.log_tail.splitlines()[:-1] if alive(int(line.split()[0]))]


def test_stop_ends_a_running_command_and_refuses_the_next(runner, run):
    timer = threading.Timer(0.2, runner.stop)
    timer.start()
    end = run("sleep", "60")
    assert (end.stopped, end.code) == (True, 143)
    assert run("true").stopped


def test_the_end_of_the_runner_ends_its_commands(lines):
    with LocalRunner(log=lines.append) as runner:

        def run() -> None:
            with pytest.raises((RunnerGone, OSError)):
                runner.slots[0].run(Command("d", ("sh", "-c", "echo $$; sleep 60"), {}))

        thread = threading.Thread(target=run)
        thread.start()
        while not any(line.isdigit() for line in lines):
            assert thread.is_alive()
        pid = int(next(line for line in lines if line.isdigit()))
    deadline = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < deadline
    thread.join(5)
    assert not thread.is_alive(), "whoever waited for the command is told"


def test_many_slots_at_once_keep_their_files_apart(lines, tmp_path):
    meet = f"mktemp -p {tmp_path}; until [ $(ls {tmp_path} | wc -l) = 4 ]; do sleep 0.01; done; "
    with LocalRunner(4, log=lines.append) as runner:

        def run(number: int) -> None:
            slot = runner.slots[number]
            (slot.pfs / "in").write_text(str(number))
            slot.run(Command(str(number), ("sh", "-c", meet + "cp /pfs/in /pfs/out"), {}))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [(slot.pfs / "out").read_text() for slot in runner.slots] == ["0", "1", "2", "3"]
    assert "[2] pfs: datum 2 start" in lines


def test_without_a_namespace_the_command_is_told_where_its_files_are(lines):
    with LocalRunner(log=lines.append, pfs_root_env=True) as runner:
        slot = runner.slots[0]
        assert slot.pfs_path == str(slot.pfs)
        end = slot.run(Command("d", ("sh", "-c", "pwd; echo x > $PFS_ROOT/out"), {"PFS_ROOT": slot.pfs_path}))
        assert end.code == 0
        assert (slot.pfs / "out").read_text() == "x\n"


def test_nothing_is_left_on_disk(tmp_path, lines):
    with LocalRunner(log=lines.append, scratch=tmp_path) as runner:
        runner.slots[0].run(Command("d", ("sh", "-c", "mkdir -p /pfs/x/y; chmod 000 /pfs/x"), {}))
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_refused_namespace_says_how_to_allow_it():
    script = (
        "from airflow_pachy.worker.local import LocalRunner, NamespaceRefused\n"
        "try:\n    LocalRunner()\n"
        "except NamespaceRefused as error:\n    print(error)\n"
    )
    forbid = "echo 0 >/proc/sys/user/max_mnt_namespaces && exec "
    shell = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid + shlex.join([sys.executable, "-c", script])]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot make a user namespace without mount namespaces: {done.stderr}")
    assert "unshare: No space left on device" in done.stdout
    assert "pfs_root_env=True" in done.stdout
