"""The steps of the `windows` example: `python3 windows.py months|bins|rolling|last|trend`.

None of them asks what day it is today: the data says which days there are, so a commit gives the same result whenever
it is processed.
"""

import csv
import os
import sys
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path

PFS, OUT = Path("/pfs"), Path("/pfs/out")
DAYS = int(os.environ.get("DAYS", "0"))


def months() -> None:
    """The sum of one month's directory, as /<month>.csv."""
    (month,) = (PFS / "sales").iterdir()
    days = sorted(month.glob("*.csv"))
    (OUT / f"{month.name}.csv").write_text(f"month,days,euros\n{month.name},{len(days)},{taken(days):.2f}\n")


def bins() -> None:
    """A link to the day in each window that has it: /<first>_<last>/<day>.csv."""
    (file,) = (PFS / "sales").rglob("*.csv")
    day = date.fromisoformat(file.stem)
    for before in range(DAYS):
        first = day - timedelta(days=before)
        window = OUT / f"{first}_{first + timedelta(days=DAYS - 1)}"
        window.mkdir()
        (window / file.name).symlink_to(file)


def rolling() -> None:
    """The mean of one window, if all of its days are there: /<first>_<last>.csv."""
    (window,) = (PFS / "sales_bins").iterdir()
    days = list(window.glob("*.csv"))
    if len(days) == DAYS:
        (OUT / f"{window.name}.csv").write_text(f"window,mean\n{window.name},{taken(days) / DAYS:.2f}\n")
    else:
        print(f"{window.name} has {len(days)} of {DAYS} days")


def last() -> None:
    """Links to the last days."""
    for file in sorted((PFS / "sales").rglob("*.csv"), key=lambda path: path.stem)[-DAYS:]:
        (OUT / file.name).symlink_to(file)


def trend() -> None:
    """The first and the last of the last days, as /trend.csv."""
    days = sorted((PFS / "sales_last").glob("*.csv"))
    rows = [f"{day.stem},{taken([day]):.2f}\n" for day in (days[0], days[-1])]
    (OUT / "trend.csv").write_text("day,euros\n" + "".join(rows))


def taken(days: Iterable[Path]) -> float:
    """What was taken on these days, in euros."""
    cents = 0
    for day in days:
        with day.open() as file:
            cents += sum(int(row["cents"]) for row in csv.DictReader(file))
    return cents / 100


if __name__ == "__main__":
    STEPS: dict[str, Callable[[], None]] = {step.__name__: step for step in (months, bins, rolling, last, trend)}
    STEPS[sys.argv[1]]()
