"""What the console blocks of a documentation page say."""


def commands(block: str) -> list[tuple[str, str]]:
    """(command line, expected output) pairs."""
    pairs: list[tuple[str, str]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            pairs.append((line[2:], ""))
        else:
            command, output = pairs[-1]
            pairs[-1] = (command, f"{output}{line}\n")
    return pairs
