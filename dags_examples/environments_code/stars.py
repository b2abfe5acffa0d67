"""The mean of the stars in each file of reviews, as /pfs/out/<file>.txt; a review begins with its stars."""

from pathlib import Path

REVIEWS, OUT = Path("/pfs/reviews"), Path("/pfs/out")


def main() -> None:
    for path in sorted(REVIEWS.glob("*.txt")):
        stars = [int(line.split()[0]) for line in path.read_text().splitlines()]
        (OUT / path.name).write_text(f"{sum(stars) / len(stars):.2f} of {len(stars)}\n")


if __name__ == "__main__":
    main()
