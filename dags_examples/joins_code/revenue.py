"""A join's datum: one store and one day of its purchases. Writes what was taken, as /<city>/<day>.csv."""

import csv
import json
import os
from pathlib import Path


def main() -> None:
    store = json.loads(Path(os.environ["stores"]).read_text())
    purchases = Path(os.environ["purchases"])
    day = purchases.stem.partition("_")[0]
    with purchases.open() as file:
        cents = sum(int(row["pieces"]) * int(row["cents"]) for row in csv.DictReader(file))
    target = Path("/pfs/out") / store["city"] / f"{day}.csv"
    target.parent.mkdir(parents=True)
    target.write_text(f"{day},{cents / 100:.2f},{store['currency']}\n")


if __name__ == "__main__":
    main()
