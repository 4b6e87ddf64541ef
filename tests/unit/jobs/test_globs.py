"""Which files patterns mean, and which directories are worth a look."""

import time

import pytest

from pulumi_pika.jobs.globs import (
    holder,
    matcher,
    unusable,
)


@pytest.mark.parametrize(
    ("glob", "meant", "not_meant"),
    [
        ("a.txt", ["a.txt"], ["b.txt", "d/a.txt", "a.txt2", "xa.txt"]),
        ("./a.txt", ["a.txt"], ["d/a.txt"]),
        ("././a.txt", ["a.txt"], []),
        ("*", ["a", ".hidden", "new\nline", "ü"], ["d/a"]),
        ("*.txt", ["a.txt", ".txt"], ["a.txt.gz", "d/a.txt", "d.txt/a"]),
        ("?.txt", ["a.txt", "ü.txt"], ["ab.txt", ".txt", "d/.txt"]),
        ("[ab].txt", ["a.txt", "b.txt"], ["c.txt", "ab.txt"]),
        ("[!ab]", ["c"], ["a", "b", "d/c"]),
        ("[^ab]", ["c"], ["a", "b"]),
        ("[[^]", ["[", "^"], ["a"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[z-a]x", [], ["ax", "zx", "-x"]),
        ("[*]", ["*"], ["a"]),
        ("[a", ["[a"], ["a"]),
        ("a[b/c]d", ["a[b/c]d"], ["abd"]),
        ("**", ["a", "d/a", "d/e/a"], []),
        ("**/*.log", ["a.log", "d/a.log", "d/e/a.log"], ["a.txt", "d/a.log/x"]),
        ("d/**", ["d/a", "d/e/a"], ["d", "a", "e/d/a"]),
        ("d/**/a", ["d/a", "d/e/a", "d/e/f/a", "d/a/x"], ["a", "e/a", "d/b"]),
        ("d/**/e/**/*.x", ["d/e/a.x", "d/1/e/2/3/a.x"], ["d/a.x", "e/a.x"]),
        ("**/**/a", ["a", "d/a"], ["b"]),
        ("a**b", ["ab", "axb"], ["a/b", "a/x/b"]),
        ("*/a", ["d/a", "d/a/x"], ["a", "d/e/a"]),
        ("d", ["d", "d/a", "d/e/a"], ["da", "e/d"]),
        ("d/", ["d/a", "d/e/a"], ["d", "e/d/a"]),
        ("*/", ["d/a", "d/e/a"], ["a"]),
        ("d*", ["d", "d1"], ["d1/a"]),
        ("d//a", ["d/a"], []),
        (".", ["a", "d/a"], []),
        ("./", ["a", "d/a"], []),
        ("d/.", ["d/a"], ["d"]),
        ("", [], ["a"]),
        ("/a", [], ["a"]),
        ("../a", [], ["a", "../a"]),
        ("a\\b", ["a\\b"], ["ab", "a/b"]),
        ("a.b(c)+$", ["a.b(c)+$"], ["axb(c)+$"]),
    ],
)
def test_pattern(glob: str, meant: list[str], not_meant: list[str]) -> None:
    matches = matcher([glob])

    assert [path for path in meant if not matches(path)] == []
    assert [path for path in not_meant if matches(path)] == []


def test_one_of_several_is_enough() -> None:
    matches = matcher(["a", "d/*.x"])

    assert matches("a")
    assert matches("d/b.x")
    assert not matches("d/b.y")
    assert not matcher([])("a")


@pytest.mark.parametrize(
    ("glob", "held", "not_held"),
    [
        ("*.txt", [], ["d", "a.txt"]),
        ("d/*.txt", ["d"], ["e", "d/e", "d/a.txt"]),
        ("d/e/f", ["d", "d/e", "d/e/f", "d/e/f/g"], ["e", "d/f", "d/e/g"]),
        ("d/", ["d", "d/e", "d/e/f"], ["e"]),
        ("**/x", ["d", "d/e/f"], []),
        ("d/**/x", ["d", "d/e", "d/e/f"], ["e"]),
        ("*/*/x", ["d", "d/e", "d/e/x"], ["d/e/f", "d/e/f/g"]),
        ("", [], ["d"]),
    ],
)
def test_directories_that_can_hold_matches(glob: str, held: list[str], not_held: list[str]) -> None:
    holds = holder([glob])

    assert [path for path in held if not holds(path)] == []
    assert [path for path in not_held if holds(path)] == []


def test_what_cannot_match_is_told() -> None:
    assert unusable("/a") == "is absolute; patterns are relative to the artifacts directory"
    assert unusable("a/../b") == "leads out of the artifacts directory"
    assert unusable("") == "is empty"
    assert unusable("..a/b..") is None


def test_no_pattern_takes_long() -> None:
    # Of the processor, which is what others may be at as well.
    begun = time.process_time()

    assert not matcher(["*a*a*a*a*a*a*a*a*b"])("a" * 250)
    assert not matcher(["**/**/**/**/**/**/**/x"])("/".join("a" * 32))

    assert time.process_time() - begun < 1
