"""Commands that are imported when they are asked for: a command line needs one of a hundred."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module

import click


class LateCommands(MutableMapping[str, click.Command]):
    """Commands by name, each given as such or as `module:name`, where it is in this package."""

    def __init__(self, commands: Mapping[str, click.Command | str]) -> None:
        self._commands = dict(commands)

    def __getitem__(self, name: str) -> click.Command:
        command = self._commands[name]
        if isinstance(command, str):
            module, _, attribute = command.partition(":")
            found: click.Command = getattr(import_module(f"airflow_pachy.cli.{module}"), attribute)
            command = self._commands[name] = found
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)
