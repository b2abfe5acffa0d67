"""Keep the balance of every account up to date, reading only files that are new or have changed.

/pfs/bookings has just these, and /pfs/out what was written the last time: the sums of each day, and all balances. A day
that comes again with other bookings replaces its own sums, so nothing is counted twice. When there is nothing in
/pfs/out, all files are there, and the same code makes everything from scratch.
"""

import csv
from collections import Counter
from pathlib import Path

BOOKINGS, OUT = Path("/pfs/bookings"), Path("/pfs/out")


def main() -> None:
    days = OUT / "days"
    days.mkdir(exist_ok=True)
    new = sorted(BOOKINGS.glob("*.csv"))
    for path in new:
        write(days / path.name, sums(path))
    balances: Counter[str] = Counter()
    for path in days.glob("*.csv"):
        balances.update(sums(path))
    write(OUT / "balances.csv", balances)
    print(f"{len(new)} files read, {len(list(days.iterdir()))} days in the balances")


def sums(path: Path) -> Counter[str]:
    """The cents of each account in a file."""
    found: Counter[str] = Counter()
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["account"]] += int(row["cents"])
    return found


def write(path: Path, cents: Counter[str]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["account", "cents"])
        table.writerows(sorted(cents.items()))


if __name__ == "__main__":
    main()
