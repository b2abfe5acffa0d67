"""A group's datum: one patient's results of one test, from any clinic. Writes /<patient>/<test>.csv, by day."""

import os
from pathlib import Path


def main() -> None:
    patient, test = os.environ["PACH_DATUM_lab_GROUP_BY"].split("-")
    rows = []
    for path in Path("/pfs/lab").rglob("*.txt"):
        day = path.stem.rpartition("_")[2]
        rows.append(f"{day},{path.read_text().strip()},{path.parent.name}\n")
    target = Path("/pfs/out") / patient / f"{test}.csv"
    target.parent.mkdir(parents=True)
    target.write_text("".join(sorted(rows)))


if __name__ == "__main__":
    main()
