"""The table at the end of a run says what its words mean."""

from types import SimpleNamespace

from ...support.faults.table import PROPERTY, lines


def test_words_of_the_table_are_explained_and_no_others() -> None:
    cells = [
        ["job", "500", "GET 1.0", "ok"],
        ["job", "500", "POST instances", "lost, again"],
        ["job", "reset before", "GET 1.0", "part"],
    ]
    report = SimpleNamespace(user_properties=[(PROPERTY, cell) for cell in cells])

    found = list(lines([report]))

    assert [line.partition(":")[0] for line in found[: found.index("")]] == [
        *("ok", "again", "lost", "part"),
    ]
    assert found[found.index("") + 1 :] == [
        "job",
        "                500  reset before",
        "GET 1.0         ok   part",
        "POST instances  lost, again  -",
    ]
