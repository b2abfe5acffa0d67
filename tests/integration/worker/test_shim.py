"""The shim and its runner, with a static busybox on this machine: alone, and as process 1 like in a container."""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from airflow_pachy.worker.place import place
from airflow_pachy.worker.runner import Command, RunnerGone
from airflow_pachy.worker.shim import ShimRunner

PROCESS_ONE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def static_busybox() -> Path:
    found = shutil.which("busybox")
    if found is None:
        pytest.skip("no busybox here: install Debian's busybox-static")
    return Path(found)


@pytest.fixture
def pfs(tmp_path):
    pfs = tmp_path / "pfs"
    pfs.mkdir()
    place(pfs, static_busybox())
    return pfs


@pytest.fixture(params=["a process among others", "process 1"])
def shim(request, pfs, tmp_path):
    """The shim's process; its log is in <tmp_path>/log."""
    prefix = []
    if request.param == "process 1":
        prefix = PROCESS_ONE
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("no right to make a process namespace")
    control = pfs / ".pfs"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, str(control / "busybox"), "sh", str(control / "shim.sh")], stdout=log, stderr=log
        )
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def runner(shim, pfs):
    with ShimRunner(pfs, kill_grace_seconds=1) as runner:
        yield runner


@pytest.fixture
def run(runner):
    def run(*argv: str, **details):
        details.setdefault("env", {})
        return runner.run(Command("d" * 32, argv, **details))

    return run


def test_a_command_runs_with_its_variables_arguments_and_input(run, tmp_path):
    end = run(
        "sh", "-c", 'cat; echo "$1|$A"; exit 3', "x", "it's $(odd) \\ \"\n", env={"A": "a'b"}, stdin=("one", "$two")
    )
    assert end.code == 3
    assert end.log_tail == "one\n$two\nit's $(odd) \\ \"\n|a'b\n"
    log = (tmp_path / "log").read_text().splitlines()
    assert log[0] == f"::group::pfs: datum {'d' * 32} start"
    assert log[-3:-1] == [f"pfs: datum {'d' * 32} end 3", "::endgroup::"]
    assert log[-1] == f"pfs: datum {'d' * 32} ended with exit code 3, see the group above"


def test_variables_that_no_shell_could_hold_arrive(run):
    assert "my-repo=/pfs/my-repo" in run("env", env={"my-repo": "/pfs/my-repo"}).log_tail.splitlines()


def test_many_commands_in_turn(run):
    assert [run("sh", "-c", f"exit {code}").code for code in range(10)] == list(range(10))


@pytest.mark.parametrize(("argv", "code"), [(["no-such"], 127), (["/etc"], 126), (["sh", "-c", "kill -9 $$"], 137)])
def test_exit_codes_follow_the_shell(run, argv, code):
    assert run(*argv).code == code


def test_a_working_directory(run):
    assert run("pwd", working_dir="/usr").log_tail == "/usr\n"
    assert run("pwd", working_dir="/no/such/place").code == 126


def test_a_timeout_is_term_then_kill(run):
    end = run("sh", "-c", "trap 'echo told' TERM; sleep 60 & wait; sleep 60", timeout_seconds=0.2)
    assert (end.timed_out, end.code) == (True, 137)
    assert "told" in end.log_tail
    assert not run("true").timed_out


def test_a_background_process_does_not_outlive_its_datum(run):
    end = run("sh", "-c", "sleep 60 & echo bye")
    assert (end.code, end.log_tail) == (0, "bye\n")
    assert end.seconds < 2


def test_a_daemon_does_not_keep_the_datum(run):
    end = run("sh", "-c", "(setsid sleep 5 &) ; echo bye")
    assert (end.code, end.log_tail) == (0, "bye\n")
    assert end.seconds < 4


def test_only_the_end_of_long_output_is_kept(run):
    end = run("sh", "-c", "yes line | head -n 100000; echo end")
    assert end.log_tail.endswith("line\nend\n")
    assert len(end.log_tail) <= 16 << 10


def test_stop_ends_the_command_and_finish_ends_the_shim(runner, run, shim):
    timer = threading.Timer(0.3, runner.stop)
    timer.start()
    end = run("sleep", "60")
    assert (end.stopped, end.code) == (True, 143)
    assert run("true").stopped
    runner.finish(121)
    assert shim.wait(10) == 121


def test_nothing_of_a_turn_stays_on_the_volume(run, pfs):
    run("true", stdin=("x",))
    assert {path.name for path in (pfs / ".pfs").iterdir()} <= {
        *("bin", "busybox", "shim.sh", "spout.sh", "stage", "tick", "helper.hb", "user.hb", "helper.hb.new")
    }


def test_a_forged_end_is_only_a_failure(pfs):
    with ShimRunner(pfs) as runner:
        (pfs / ".pfs" / "end.1").write_text("rm -rf\n")
        assert runner.run(Command("d", ("true",), {})).code == 255


@pytest.mark.parametrize("trick", ["mkdir $F", "mkdir $F; touch $F/x", "echo 7 >$F.x; ln -s $F.x $F", "printf 7 >$F"])
def test_what_lies_where_the_answer_goes_does_not_stop_it(run, pfs, trick):
    assert run("sh", "-c", trick, env={"F": str(pfs / ".pfs" / "end.1")}).code in (0, 255)
    assert run("sh", "-c", "exit 3").code == 3


def test_what_the_code_left_unreadable_is_opened_up(run, pfs):
    for name in ("out", "batch"):
        (pfs / name).mkdir()
        (pfs / name).chmod(0o777)
    (pfs / "out").rename(pfs / "out.real")
    (pfs / "out").symlink_to("out.real")  # not ours: else the shim need not look
    files = "out.real/d/f batch/1/out/f batch/1/in/f"
    script = f"cd $P; umask 077; mkdir -p out.real/d batch/1/out batch/1/in; echo x | tee {files}"
    assert run("sh", "-c", script, env={"P": str(pfs)}).code == 0
    modes = {path: (pfs / path).stat().st_mode & 0o777 for path in ("out.real/d", "batch/1/out/f", "batch/1/in/f")}
    assert modes == {"out.real/d": 0o777, "batch/1/out/f": 0o644, "batch/1/in/f": 0o600}


def test_a_link_in_place_of_an_answer_is_not_followed(pfs, tmp_path):
    (tmp_path / "secret").write_text("0 secret")
    (pfs / ".pfs" / "log.1").symlink_to(tmp_path / "secret")
    with ShimRunner(pfs) as runner:
        (pfs / ".pfs" / "end.1").write_text("1 0 0\n")
        assert runner.run(Command("d", ("true",), {})).log_tail == ""


def test_a_container_that_never_starts_is_given_up(pfs):
    with ShimRunner(pfs, start_seconds=0.2, beat_seconds=0.02) as runner:
        with pytest.raises(RunnerGone, match="did not start"):
            runner.run(Command("d", ("true",), {}))


def test_a_container_that_dies_is_noticed(pfs):
    (pfs / ".pfs" / "user.hb").write_text("1\n")
    with ShimRunner(pfs, beat_seconds=0.02) as runner:
        with pytest.raises(RunnerGone, match="died while it ran datum d"):
            runner.run(Command("d", ("true",), {}))


def test_term_ends_an_idle_shim(pfs, tmp_path):
    control = pfs / ".pfs"
    process = subprocess.Popen([str(control / "busybox"), "sh", str(control / "shim.sh")])
    with ShimRunner(pfs) as runner:
        runner.run(Command("d", ("true",), {}))
        process.terminate()
        assert process.wait(10) == 143


def test_links_in_place_of_our_files_are_replaced_not_followed(pfs, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    control = pfs / ".pfs"
    for name in ("done.new", "helper.hb.new", "stopping.new"):
        (control / name).symlink_to(precious)
    with ShimRunner(pfs) as runner:
        runner.stop()
        runner.finish(0)
    assert precious.read_text() == "precious"
    assert (control / "done").read_text() == "0\n"


def test_a_directory_swapped_for_a_link_leads_nowhere_else(pfs, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with ShimRunner(pfs) as runner:
        for name in (".pfs/stage", ".pfs"):
            (pfs / name).rename(tmp_path / name.replace("/", "-"))
            (pfs / name).symlink_to(elsewhere)
        (runner.stage_root / "0").mkdir()
        runner.finish(0)
    assert list(elsewhere.iterdir()) == []


def test_a_helper_knows_that_another_was_there_before(pfs):
    with ShimRunner(pfs) as first:
        first.stop()
    assert not first.succeeds_another
    assert ShimRunner(pfs).succeeds_another


def test_only_the_datum_whose_turn_it_was_is_blamed_for_a_dead_container(pfs):
    (pfs / ".pfs" / "user.hb").write_text("1\n")
    with ShimRunner(pfs, beat_seconds=0.02) as runner:
        with pytest.raises(RunnerGone):
            runner.run(Command("d", ("true",), {}))
        assert runner.run(Command("e", ("true",), {})).stopped


def test_a_command_that_ends_with_its_pod_is_not_blamed(pfs):
    control = pfs / ".pfs"
    process = subprocess.Popen([str(control / "busybox"), "sh", str(control / "shim.sh")])
    with ShimRunner(pfs) as runner:
        timer = threading.Timer(0.3, process.terminate)
        timer.start()
        end = runner.run(Command("d", ("sleep", "20"), {}))
        assert (end.stopped, end.code) == (True, 143)
        assert runner.run(Command("e", ("true",), {})).stopped
        assert process.wait(10) == 143
