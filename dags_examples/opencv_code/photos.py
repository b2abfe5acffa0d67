"""Print the paths of the named photos, which ship inside the scikit-image wheel: they are real, and free to use."""

import sys
from importlib.resources import files


def main() -> None:
    for name in sys.argv[1:]:
        print(files("skimage") / "data" / name)


if __name__ == "__main__":
    main()
