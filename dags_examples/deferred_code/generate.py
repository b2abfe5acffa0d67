"""Make a folder of labelled samples, one JSON line each: `generate.py FOLDER FILES [FIRST_FILE]`."""

import json
import random
import sys
from pathlib import Path

LABELS = ("bolt", "nut", "washer")
SAMPLES_PER_FILE = 50


def main(folder: str, files: int, first: int = 0) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + files):
        chance = random.Random(number)
        lines = [
            json.dumps({"label": chance.choice(LABELS), "grams": round(chance.uniform(1, 40), 2)})
            for _ in range(SAMPLES_PER_FILE)
        ]
        (Path(folder) / f"batch-{number:03}.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
