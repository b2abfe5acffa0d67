"""Make the receipts of two stores as CSV, a folder per store and a file per day: `generate.py FOLDER DAYS`."""

import csv
import random
import sys
from datetime import date, timedelta
from pathlib import Path

FIRST_DAY = date(2024, 5, 1)
PRICES = {"apple": "0.45", "bread": "3.20", "cheese": "7.80"}


def main(folder: str, days: int) -> None:
    for store in ("north", "south"):
        for number in range(days):
            day = FIRST_DAY + timedelta(days=number)
            chance = random.Random(f"{store} {day}")
            target = Path(folder) / store / f"{day}.csv"
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("w", newline="") as file:
                table = csv.writer(file, lineterminator="\n")
                table.writerow(["product", "quantity", "price"])
                for _ in range(100):
                    product = chance.choice(sorted(PRICES))
                    table.writerow([product, chance.randint(1, 4), PRICES[product]])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
