"""Draw the pictures of documentation pages anew: `python scripts/example_graphs.py [--check] [PAGE]...`.

A picture is a Mermaid block below a line that says, in backquotes, the `pachy draw pipeline ...` that makes it. The
command is run and the block replaced; with --check nothing is written, and a page that differs is an error. Without
pages: all of docs/.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from contextlib import chdir
from pathlib import Path

from click.testing import CliRunner

from airflow_pachy.cli.app import cli

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURE = re.compile(
    r"`pachy (?P<command>draw pipeline [^`\n]+)`[^\n]*\n+```mermaid\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def drawn(page: str) -> str:
    """The text of a page with its pictures as they should be."""

    def replace(match: re.Match[str]) -> str:
        start, end = (place - match.start() for place in match.span("text"))
        return match[0][:start] + draw(match["command"]) + match[0][end:]

    return PICTURE.sub(replace, page)


def draw(command: str) -> str:
    """What `pachy` prints for this command in the repository's root."""
    with chdir(REPOSITORY):
        ran = CliRunner().invoke(cli, shlex.split(command), standalone_mode=False)
    if ran.exception:
        sys.exit(f"pachy {command}: {ran.exception}")
    return ran.stdout


def main() -> None:
    """Redraw or check pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing, exit with 1 if something would change")
    parser.add_argument("pages", nargs="*", type=Path, default=sorted((REPOSITORY / "docs").rglob("*.md")))
    options = parser.parse_args()
    stale = []
    for page in options.pages:
        text = page.read_text()
        new = drawn(text)
        if new != text:
            stale.append(page)
            if not options.check:
                page.write_text(new)
    for page in stale:
        print(f"{page}: {'its pictures are not up to date' if options.check else 'drawn anew'}")
    sys.exit(1 if stale and options.check else 0)


if __name__ == "__main__":
    main()
