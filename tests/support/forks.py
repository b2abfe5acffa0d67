"""A `pachy` command that tells how often it forked."""

PROGRAM = """
import os, sys
from airflow_pachy.cli import main
plain, forks = os.fork, []
def fork():
    assert "pyarrow" not in sys.modules
    forks.append(plain())
    return forks[-1]
os.fork = fork
os.cpu_count = lambda: 2
print(main(sys.argv[1:]), len(forks))
"""
"""For `python -c`, with the command's arguments; prints its exit code and the number of forks."""
