"""What each piece of the glob grammar matches, captures and refuses."""

import pytest

from airflow_pachy.errors import InvalidGlob
from airflow_pachy.pfs.tree import compile_glob

MATCHES = [
    ("/*", ["a", "a.b", "é", "a\nb", ".hidden"], ["", "a/b"]),
    ("*", ["a"], ["", "a/b"]),
    ("/*/", ["a"], ["", "a/b"]),
    ("/", [""], ["a"]),
    ("", ["", "/"], ["a"]),
    ("**", ["a", "a/b/c"], [""]),
    ("/a/**", ["a/b", "a/b/c"], ["a", "ab"]),
    ("/**.png", ["a.png", "a/b/c.png"], ["a.pngx", "png"]),
    ("/a?c", ["abc", "a-c", "aéc"], ["ac", "a/c", "abbc"]),
    ("[a-c]x", ["ax", "cx"], ["dx", "x", "Ax"]),
    ("[!a-c]x", ["dx"], ["ax", "/x", "x"]),
    ("[^a]", ["b"], ["a", "/"]),
    ("[]a]", ["]", "a"], ["b"]),
    ("[+-9]", [".", "0", "+"], ["a"]),
    ("a[+-9]b", ["a.b"], ["a/b"]),
    ("[[:digit:][:upper:]_]*", ["0a", "Q", "_"], ["a"]),
    (r"[\]]", ["]"], ["\\"]),
    ("{a,b*}.c", ["a.c", "bxx.c", "b.c"], ["c.c", "a"]),
    ("{a,b{1,2}}", ["a", "b1", "b2"], ["b"]),
    ("{,x}a", ["a", "xa"], ["ya"]),
    ("a{/b,}", ["a", "a/b"], ["b"]),
    (r"\*\?\[x\]", ["*?[x]"], ["abx"]),
    (r"a\\b", ["a\\b"], ["ab"]),
    ("a.b", ["a.b"], ["axb"]),
    ("a+b@c!d^$", ["a+b@c!d^$"], ["aab"]),
    ("(a|b)c", ["ac", "bc"], ["c", "abc"]),
    ("@(a|b)c", ["ac", "bc"], ["c", "abc"]),
    ("?(a|b)c", ["c", "ac", "bc"], ["abc"]),
    ("*(a|b)c", ["c", "ababc"], ["axc"]),
    ("+(a|b)c", ["ac", "abac"], ["c"]),
    ("!(a)", ["b", "aa"], ["a", "b/c"]),
    ("!(foo).png", ["bar.png", "foofoo.png"], ["foo.png", "a/b.png"]),
    ("d/!(*.txt|*.md)", ["d/a.png"], ["d/a.txt", "d/a.md", "d"]),
    ("!(**)", [], ["", "a", "a/b"]),
]


@pytest.mark.parametrize(("pattern", "yes", "no"), MATCHES, ids=[case[0] for case in MATCHES])
def test_matching(pattern, yes, no):
    glob = compile_glob(pattern)
    assert [path for path in yes if not glob.matches(path)] == []
    assert [path for path in no if glob.matches(path)] == []


@pytest.mark.parametrize(
    ("pattern", "path", "template", "expected"),
    [
        ("/foo(?)(?)", "/foo12", "$1$2", "12"),
        ("/foo(?)(?)", "foo12", "$2$1", "21"),
        ("/(*)/(*).(a|b)", "x/y.b", "${3}_$2-$1", "b_y-x"),
        ("((a)(b))c", "abc", "$1,$2,$3", "ab,a,b"),
        ("*(ab)c", "ababc", "$1", "abab"),
        ("a?(b)c", "ac", "[$1]", "[]"),
        ("{x,(y)}", "x", "[$1]", "[]"),
        ("/a(*)", "abc", "$0 $$ $9", "/abc $ "),
        ("".join(f"({letter})" for letter in "abcdefghij"), "abcdefghij", "$10${1}0", "ja0"),
        ("/(*)/", "dir", "$1", "dir"),
        ("!(a)-(*)", "b-c", "$1$2", "bc"),
        ("/a(*)", "bcd", "$1", None),
    ],
)
def test_capturing(pattern, path, template, expected):
    assert compile_glob(pattern).capture(path, template) == expected


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [("/a/b*", "a/b"), ("*", ""), ("/a/b", "a/b"), (r"a\*b?", "a*b"), ("/x{a,b}", "x"), ("/x/+(a)", "x/"), ("/", "")],
)
def test_literal_prefix(pattern, prefix):
    assert compile_glob(pattern).literal_prefix == prefix


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[a", "never closed"),
        ("{a,b", "never closed"),
        ("(a|b", "never closed"),
        ("!(a", "never closed"),
        ("a\\", "escapes nothing"),
        ("[z-a]", "wrong way round"),
        ("[[:nope:]]", "not a POSIX class"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_reason(pattern, reason):
    with pytest.raises(InvalidGlob, match=reason) as caught:
        compile_glob(pattern)
    assert repr(pattern) in str(caught.value)
