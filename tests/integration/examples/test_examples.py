"""The examples of `docs/examples`, run as their pages say; what pages do not show is checked below each."""

import re
from collections import Counter

import pytest

pytestmark = pytest.mark.slow


def files(pfs, branch):
    return {f"/{entry.path}": pfs.get_file(f"{branch}:/{entry.path}") for entry in pfs.tree(branch).entries()}


def test_opencv(follow, pfs):
    follow("opencv")
    images = {path.partition(".")[0] for path in files(pfs, "images@master")}
    assert {path.removesuffix(".png") for path in files(pfs, "edges@master")} == images
    assert {info.repo for info in pfs.provenance("montage@master")} == {"images", "edges"}


def test_wordcount(follow, pfs):
    follow("wordcount")
    counts = {path.strip("/"): int(data) for path, data in files(pfs, "wordcount_reduce@master").items()}
    words = " ".join(data.decode() for data in files(pfs, "texts@master").values()).lower()
    assert counts == Counter(re.findall("[a-z]+", words))
