"""Print points around a curve of the third degree: `make_points.py --count 40 --seed 1`.

The same seed gives the same points.
"""

import argparse
import random


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    print("x,y")
    for _ in range(options.count):
        x = dice.uniform(-1, 1)
        print(f"{x:.4f},{0.5 - 2 * x + 3 * x**3 + dice.gauss(0, 0.1):.4f}")


if __name__ == "__main__":
    main()
