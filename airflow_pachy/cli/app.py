"""The tree of commands, the global options, and how errors reach the user."""

from __future__ import annotations

import os
import select
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from airflow_pachy.cli.late import LateCommands
from airflow_pachy.cli.session import Session
from airflow_pachy.errors import PachyError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, dict[str, str]]] = {
    "create": (
        "Create a repo, a branch, a tag or a pipeline.",
        {
            "repo": "repos:create",
            "branch": "branches:create",
            "tag": "tags:create_tag",
            "pipeline": "pipeline_verbs:create",
        },
    ),
    "update": (
        "Change what is said of a repo or a commit, or make the next version of a pipeline.",
        {
            "repo": "repos:update",
            "commit": "commits:update",
            "pipeline": "pipeline_verbs:update",
            "retention": "upkeep:update_retention",
        },
    ),
    "list": (
        "List repos, branches, commits, tags, files, pipelines, jobs or datums.",
        {
            "repo": "repos:list_",
            "branch": "branches:list_",
            "commit": "commits:list_",
            "tag": "tags:list_tags",
            "file": "file_reads:list_",
            "pipeline": "pipeline_verbs:list_",
            "job": "jobs:list_",
            "datum": "datums:list_",
        },
    ),
    "inspect": (
        "Show everything about one thing.",
        {
            "repo": "repos:inspect",
            "retention": "upkeep:inspect_retention",
            "branch": "branches:inspect",
            "commit": "commits:inspect",
            "file": "file_reads:inspect",
            "pipeline": "pipeline_verbs:inspect",
            "job": "jobs:inspect",
            "datum": "datums:inspect",
        },
    ),
    "delete": (
        "Delete a repo, a branch, a commit, a tag, files, a pipeline or a job.",
        {
            "repo": "repos:delete",
            "branch": "branches:delete",
            "commit": "commits:delete",
            "tag": "tags:delete_tag",
            "file": "file_writes:delete",
            "pipeline": "pipeline_verbs:delete",
            "job": "jobs:delete",
        },
    ),
    "start": (
        "Start a commit that stays open for several changes, or a pipeline that was stopped.",
        {"commit": "commits:start", "pipeline": "pipeline_verbs:start"},
    ),
    "finish": ("Finish an open commit.", {"commit": "commits:finish"}),
    "drop": ("Undo the newest commit, or give up an open one.", {"commit": "commits:drop"}),
    "squash": ("Remove a commit from the middle of a history.", {"commit": "commits:squash"}),
    "forget": ("Give up the data of a commit, and keep what is known of it.", {"commit": "commits:forget"}),
    "wait": ("Wait until a commit is finished.", {"commit": "commits:wait"}),
    "flush": ("Wait until everything downstream of commits has been made.", {"commit": "commits:flush"}),
    "subscribe": ("Print commits of a branch as they appear.", {"commit": "commits:subscribe"}),
    "tick": ("Move the branches whose schedule has come.", {"trigger": "branches:tick"}),
    "run": ("Run a pipeline now.", {"pipeline": "runs:run"}),
    "stop": ("Stop a job or a pipeline.", {"job": "jobs:stop", "pipeline": "pipeline_verbs:stop"}),
    "restart": ("Process datums of a job again.", {"datum": "datums:restart"}),
    "validate": ("Say what becomes of a pipeline spec.", {"pipeline": "pipelines:validate"}),
    "edit": ("Change a pipeline's spec in an editor.", {"pipeline": "editing:pipeline"}),
    "draw": ("Draw pipelines and repos as a Mermaid flowchart.", {"pipeline": "drawing:pipeline"}),
    "put": (
        "Put files, directories, URLs or standard input into a repo.",
        {"file": "file_writes:put", "header": "file_writes:put_header", "footer": "file_writes:put_footer"},
    ),
    "get": ("Read a file, or download a directory.", {"file": "file_reads:get"}),
    "trace": ("Show how a file came to be.", {"file": "traces:file"}),
    "glob": ("List files and directories by pattern.", {"file": "file_reads:glob"}),
    "diff": ("Show what changed between two commits.", {"file": "file_reads:diff"}),
    "copy": ("Copy files between paths, branches and repos without moving bytes.", {"file": "file_writes:copy"}),
    "export": ("Give data to other tools.", {"dvc": "dvc:export"}),
    "auth": ("Show and change who may do what with a repo.", {"get": "access:get", "set": "access:set_"}),
    "config": ("Show and check where storage and metadata are.", {"show": "config:show", "check": "config:check"}),
    "db": ("Look after the metadata database.", {"upgrade": "database:upgrade"}),
}
"""What each verb is for, and where its command for each noun is: a module of this package, and a name in it."""
PLAIN = {
    "gc": "upkeep:gc",
    "fsck": "upkeep:fsck",
    "extract": "upkeep:extract",
    "restore": "upkeep:restore",
    "logs": "logs:logs",
    "version": "config:version",
}
"""Verbs without a noun."""
NOUNS = {"repo", "branch", "commit", "tag", "trigger", "file", "job", "datum", "pipeline", "retention"}


class VerbGroup(click.Group):
    """The top level; `pachy repo list` is answered with `pachy list repo`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say what was probably meant."""
        if args and args[0].rstrip("s") in NOUNS:
            noun = args[0].rstrip("s")
            verbs = [verb for verb, (_, nouns) in COMMANDS.items() if noun in nouns]
            asked = args[1] if len(args) > 1 else "list"
            verb = asked if asked in verbs else verbs[0]
            ctx.fail(f"The verb comes first: 'pachy {verb} {noun}'. Verbs for '{noun}': {', '.join(verbs)}.")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """In the order of use, not of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. click would take whatever pipe breaks for that of a reader, and end with 1 and no word."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeBrokeError from error


class _PipeBrokeError(Exception):
    """Its cause is a `BrokenPipeError`."""


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--storage", metavar="URL", help="Object store: s3://bucket/prefix or file:///directory.")
@click.option("--metadata", metavar="URL", help="Metadata database: any SQLAlchemy URL (SQLite, PostgreSQL, MySQL).")
@click.option("--s3-endpoint", metavar="URL", help="Address of an S3 server other than AWS.")
@click.option("--s3", metavar="NAME=VALUE", multiple=True, help="Another setting of S3, e.g. sse=aws:kms; repeatable.")
@click.option("--principal", metavar="WHO", help="Who you are, e.g. user:ada; with groups: user:ada,group:lab.")
@click.option("--airflow-conn", metavar="ID", help="Take the settings from this Airflow connection.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(ctx: click.Context, /, *, debug: bool, s3: tuple[str, ...], **options: str | None) -> None:
    """Versioned data repos for Airflow: git for data, on S3.

    Commands are `pachy VERB NOUN`. An address is `repo@branch:/path`; the branch may be a commit id, and
    may be followed by ^ (parent), ^3 (three back) or .1 (the first). `repo` alone means `repo@master`.

    \b
      pachy create repo images
      pachy put file images@master:/ -f photo.png
      pachy list file images@master
      pachy get file images@master:/photo.png -o copy.png

    Without options, PACHY_STORAGE, PACHY_METADATA and PACHY_S3_ENDPOINT say where things are, and without those
    they are in a directory and a SQLite file under $AIRFLOW_HOME/pachy; `pachy config show` tells.
    """
    del debug  # read by `main`, which is where errors end up
    ctx.obj = Session(s3_options=s3, **options)


cli.commands = LateCommands(
    {
        **{
            verb: click.Group(name=verb, help=about, commands=LateCommands(nouns))
            for verb, (about, nouns) in COMMANDS.items()
        },
        **PLAIN,
    }
)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (`sys.argv`'s by default); returns 0, 1 (failed), 2 (wrong usage) or 130 (interrupted)."""
    arguments = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in arguments
    try:
        result = cli.main(arguments, prog_name="pachy", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return 130
    except SystemExit:  # by click, which could not print its help
        if _reader_has_enough():
            return 0
        raise
    except Exception as error:  # noqa: BLE001 - the last place where an error can become one line
        if isinstance(error, _PipeBrokeError) and _reader_has_enough():
            return 0
        if debug:
            traceback.print_exc()
        click.echo(_message(error.__cause__ if isinstance(error, _PipeBrokeError) else error), err=True)
        return 1
    return result if isinstance(result, int) else 0


def _reader_has_enough() -> bool:
    """Whether nobody reads our output any more (`| head`); then nothing is written to it from now on."""
    try:
        handle = sys.stdout.fileno()
        looking = select.poll()
        looking.register(handle, select.POLLOUT)
        if not any(event & (select.POLLERR | select.POLLHUP) for _, event in looking.poll(0)):
            return False
        # Python would fail once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), handle)
    except (OSError, ValueError, AttributeError):  # there is no output, or no file behind it
        return False
    return True


def _message(error: BaseException | None) -> str:
    """One line for the user. Only our own errors and the operating system's speak for themselves."""
    text = " ".join(str(error).split())
    if isinstance(error, PachyError | OSError):
        return f"pachy: {text}"
    return f"pachy: unexpected {type(error).__name__}: {text}. Run it again with `pachy --debug` for the traceback."
