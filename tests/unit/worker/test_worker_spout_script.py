"""What starts the code of a spout, run by a real busybox; the test is the helper that it talks to."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from airflow_pachy.worker import shim

BUSYBOX = shutil.which("busybox")
pytestmark = pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed here")
SCRIPT = Path(shim.__file__).with_name("spout.sh")


class Base:
    """The user's container: `/pfs/.pfs` and the process that Kubernetes starts in it."""

    def __init__(self, home):
        self.control = home / ".pfs"
        self.control.mkdir()
        shutil.copyfile(SCRIPT, self.control / "spout.sh")
        (self.control / "busybox").symlink_to(BUSYBOX)
        self.said = home / "said"
        self.say("spout.life", "one")

    def say(self, name, text):
        (self.control / f"{name}.new").write_text(f"{text}\n")
        (self.control / f"{name}.new").rename(self.control / name)

    def start(self, *words, stdin=""):
        script = str(self.control / "spout.sh")
        self.process = subprocess.Popen(
            [BUSYBOX, "sh", script, *words],
            env={**os.environ, "pfs_stdin": stdin, "pfs_grace": "1", "SAID": str(self.said)},
            start_new_session=True,
        )
        return self.until(lambda: self.wanted() and self.wanted() != getattr(self, "before", None) and self.wanted())

    def wanted(self):
        place = self.control / "spout.want"
        return place.read_text().strip() if place.exists() else ""

    def go(self, word, life="one"):
        self.before = word
        self.say("spout.go", f"{word} {life}")

    def until(self, what):
        while not (found := what()):
            assert self.process.poll() is None, f"it ended with {self.process.returncode}"
            time.sleep(0.01)
        return found

    def ended(self):
        return self.process.wait(timeout=60)


@pytest.fixture
def base(tmp_path):
    base = Base(tmp_path)
    yield base
    if base.process.poll() is None:
        os.killpg(base.process.pid, signal.SIGKILL)


def test_the_code_starts_when_the_helper_says_so_and_its_exit_code_is_kept(base):
    word = base.start("sh", "-c", 'echo "$PATH" >$SAID; exit 7')
    base.say("spout.go", "an-older-word one")
    assert not base.said.exists()
    base.go(word)
    assert base.ended() == 7
    assert base.said.read_text().startswith(f"{base.control}/bin:")
    assert (base.control / "spout.ended").exists(), "the helper need not wait for more"
    again = base.start("true")
    assert again != word
    base.go(again)
    assert base.ended() == 0


def test_its_standard_input_is_the_specs(base, tmp_path):
    (tmp_path / "lines").write_text("echo from stdin >$SAID\n")
    base.go(base.start("sh", stdin=str(tmp_path / "lines")))
    assert base.ended() == 0
    assert base.said.read_text() == "from stdin\n"


def test_the_end_of_the_pod_reaches_the_code(base):
    base.go(base.start("sh", "-c", 'trap "echo bye >$SAID; exit 3" TERM; echo on >$SAID; while :; do sleep 0.1; done'))
    base.until(base.said.exists)
    base.process.terminate()
    assert base.ended() == 3
    assert base.said.read_text() == "bye\n"


def test_when_the_helper_is_another_the_code_is_ended_however_stubborn_it_is(base):
    base.go(base.start("sh", "-c", "trap '' TERM; echo on >$SAID; while :; do sleep 0.1; done"))
    base.until(base.said.exists)
    base.say("spout.life", "two")
    assert base.ended() == 122


def test_it_ends_while_it_waits_for_its_turn(base):
    base.start("true")
    base.process.terminate()
    assert base.ended() == 143
