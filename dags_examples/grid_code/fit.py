"""Fit one polynomial with this datum's degree and penalty, and write it with its error on held-out points as JSON."""

import json
import os
from pathlib import Path

import numpy as np

DATA = Path("/pfs/grid_data")


def main() -> None:
    degree = int(Path(os.environ["degree"]).read_text())
    penalty = float(Path(os.environ["penalty"]).read_text())
    x, y = np.loadtxt(DATA / "train.csv", delimiter=",", skiprows=1, unpack=True)
    powers = np.vander(x, degree + 1, increasing=True)
    # Ridge regression; the constant is not punished.
    ridge = penalty * np.eye(degree + 1)
    ridge[0, 0] = 0
    coefficients = np.linalg.solve(powers.T @ powers + ridge, powers.T @ y)
    x, y = np.loadtxt(DATA / "held_out.csv", delimiter=",", skiprows=1, unpack=True)
    error = float(np.sqrt(np.mean((np.vander(x, degree + 1, increasing=True) @ coefficients - y) ** 2)))
    model = {"degree": degree, "penalty": penalty, "error": round(error, 4)}
    model["coefficients"] = [round(float(one), 4) for one in coefficients]
    name = f"degree-{degree}_penalty-{penalty:g}.json"
    (Path("/pfs/out") / name).write_text(json.dumps(model) + "\n")
    print(f"{name}: error {error:.4f}")


if __name__ == "__main__":
    main()
