"""Help that teaches: every command has examples, the examples parse, and nothing heavy is imported to print them."""

import shlex
import subprocess
import sys

import click
import pytest

from airflow_pachy.cli import cli, main
from airflow_pachy.cli.command import ExampleCommand

HEAVY = {"airflow", "sqlalchemy", "pyarrow", "boto3", "rich", "pydantic", "kubernetes"}


def commands() -> list[tuple[str, ExampleCommand]]:
    found = []
    for verb, command in cli.commands.items():
        nouns = command.commands if isinstance(command, click.Group) else {"": command}
        found += [(f"{verb} {noun}".strip(), noun_command) for noun, noun_command in nouns.items()]
    return found


def examples() -> list[tuple[str, str]]:
    return [(name, example) for name, command in commands() for example in command.examples]


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_command_explains_itself_with_examples(name: str, command: ExampleCommand, capsys) -> None:
    assert main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert command.examples
    assert command.help
    assert "Examples:" in shown
    assert all(example in shown for example in command.examples)


@pytest.mark.parametrize(("name", "example"), examples())
def test_every_example_parses(name: str, example: str) -> None:
    line = example.rpartition("| pachy")[2] if "| pachy" in example else example.partition("pachy")[2]
    words = shlex.split(line.partition("|")[0], comments=True)
    root = cli.make_context("pachy", list(words))
    verb, command, rest = cli.resolve_command(root, [*root._protected_args, *root.args])
    if isinstance(command, click.Group):
        noun, command, rest = command.resolve_command(click.Context(command, parent=root), rest)
        assert f"{verb} {noun}" == name
    command.make_context(name, rest, parent=root)


def test_the_top_level_lists_every_verb(capsys) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {verb} " in shown for verb in cli.commands)
    assert "pachy put file images@master:/ -f photo.png" in shown


@pytest.mark.parametrize("arguments", ["--help", "list file --help", "version"])
def test_help_imports_nothing_heavy(arguments: str) -> None:
    code = (
        "import sys; from airflow_pachy.cli import main; main(sys.argv[1:]);"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments.split()], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[]"


def test_a_command_imports_the_module_of_no_other() -> None:
    code = (
        "import sys; from airflow_pachy.cli import main; main(['get', 'file', '--help']);"
        "print(*sorted(name for name in sys.modules if name.startswith('airflow_pachy.cli.')), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = {name.rpartition(".")[2] for name in ran.stderr.split()}
    assert names <= {"app", "command", "downloads", "file_reads", "human", "late", "output", "progress", "session"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("repo list", "The verb comes first: 'pachy list repo'"),
        ("commits", "The verb comes first: 'pachy list commit'"),
        ("file put x", "The verb comes first: 'pachy put file'"),
        ("lst repo", "No such command 'lst'"),
        ("create repo", "Missing argument 'REPO'"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_right(arguments: str, told: str, capsys) -> None:
    assert main(arguments.split()) == 2
    assert told in capsys.readouterr().err
