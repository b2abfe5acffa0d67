"""`python -m airflow_pachy.cli` is the `pachy` command, for when the script is not on the PATH."""

from airflow_pachy.cli import program

program()
