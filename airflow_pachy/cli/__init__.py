"""The `pachy` command: `pachy <verb> <noun>`, with the verbs and nouns of pachctl.

Nothing but click is imported until a command runs, so that `--help` and shell completion answer at once.
"""

from airflow_pachy.cli.app import cli, main

__all__ = ["cli", "main"]
