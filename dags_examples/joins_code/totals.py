"""A group's datum: a store with all of its days, or days of a store that is not known. Writes /<store>.csv."""

import csv
import json
import os
from pathlib import Path


def main() -> None:
    # Both inputs have the same key, but only an input that is in the datum has its variable.
    store = os.environ.get("PACH_DATUM_stores_GROUP_BY") or os.environ["PACH_DATUM_purchases_GROUP_BY"]
    described = Path("/pfs/stores") / f"{store}.json"
    city = json.loads(described.read_text())["city"] if described.exists() else "unknown"
    days = sorted(Path("/pfs/purchases").glob("*.csv"))
    pieces = 0
    for day in days:
        with day.open() as file:
            pieces += sum(int(row["pieces"]) for row in csv.DictReader(file))
    (Path("/pfs/out") / f"{store}.csv").write_text(f"city,days,pieces\n{city},{len(days)},{pieces}\n")


if __name__ == "__main__":
    main()
