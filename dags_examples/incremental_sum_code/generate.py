"""Make bookings of accounts as CSV, a file per day: `generate.py FOLDER DAYS [FIRST_DAY]`."""

import csv
import random
import sys
from datetime import date, timedelta
from pathlib import Path

ACCOUNTS = ("cash", "rent", "sales", "wages")
FIRST = date(2024, 5, 1)
BOOKINGS_PER_DAY = 500


def main(folder: str, days: int, first: int = 0) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + days):
        day = FIRST + timedelta(days=number)
        chance = random.Random(number)
        with (Path(folder) / f"{day}.csv").open("w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["account", "cents"])
            table.writerows([chance.choice(ACCOUNTS), chance.randint(-9_999, 9_999)] for _ in range(BOOKINGS_PER_DAY))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
