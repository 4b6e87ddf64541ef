"""Markdown: nothing in a name breaks it, and it is never too long."""

import html
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pulumi_pika.report.markdown import (
    FEWEST_CHARS,
    code,
    markdown,
    marker,
    mermaid,
    plain,
)
from pulumi_pika.report.report_model import (
    Edge,
    Node,
    Picture,
    Report,
)

from ...support.previews import (
    NAMES,
    of_tree,
    report,
    step,
    tree_of,
)

HOSTILE = (
    "a|b`c``d\\|<img src=x onerror=alert(1)> --> @everyone #12 [x](http://evil) ![](//evil)\n\n"
    "# head\n- item\n```\nfence\n:tada: $x$ ~~s~~ *b* _i_ &lt; www.evil.example !1 &2 %3 ‮"
)
TEXTS = st.one_of(st.text(), st.text(alphabet="`|\\<>&@#*_[]()!~$%^:/.w\n\r\t-= a1"))


def places(text: str, character: str) -> list[int]:
    return [at for at, other in enumerate(text) if other == character]


def cells(line: str) -> int:
    """How many cells a row of a table has, as GFM counts: a backslash guards what follows."""
    return len(re.findall(r"(?<!\\)\|", line)) - 1


@given(TEXTS)
def test_code(text: str) -> None:
    made = code(text)
    assert "\n" not in made
    assert "|" not in made
    assert "\\" not in made
    if made.startswith("<code>"):
        assert re.fullmatch(r"<code>(?:[^\W_]|&#\d+;| )*</code>", made)
    elif made:
        assert re.fullmatch(r"`[^`]+`", made)


@given(TEXTS)
@example("0_0 _a_ a__b")
@example("all is well :tada::+1: a:b:c urn:pulumi:dev::x")
@example("see GH-12, gh-7, at 3e7aebc or 3e7aebc5aa0b4a1f9e7c3e7aebc5aa0b4a1f9e7c")
def test_plain(text: str) -> None:
    made = plain(text)
    assert not set(made) & set('\n|`\\<>*[]@~$"{}!')
    # Within a word it means nothing.
    assert all(
        re.search(r"[^\W_]_[^\W_]", made[max(at - 1, 0) : at + 2]) for at in places(made, "_")
    )
    assert re.fullmatch(r"(?:[^&#]|&#\d+;)*", made)
    seen = html.unescape(made)
    # What a forge looks for in the text that it shows.
    assert not re.search(r"[@#!$%&~^]\w|://|(?i:www\.|\bGH-\d|\b[0-9a-f]{7,64}\b)", seen)
    assert not re.search(r":[\w+-]+:", seen), "a forge shows an emoji"


@given(TEXTS)
def test_marker(text: str) -> None:
    made = marker(text)
    assert made.startswith("<!-- pulumi_pika report: ")
    assert made.count("-->") == 1
    assert "--" not in made[4:-3]
    assert "\n" not in made


@given(TEXTS, TEXTS)
def test_picture(label: str, path: str) -> None:
    nodes = [
        Node(id="n0", kind="host", label=label, action="same", host=""),
        Node(id="n1", kind="runtime", label=label, action="create", host="n0"),
        Node(id="n2", kind="volume", label=label, action="same", host=""),
    ]
    drawn = mermaid(Picture(nodes=nodes, edges=[Edge(runtime="n1", volume="n2", label=path)]))
    # Whatever the labels are.
    assert len(drawn.splitlines()) == 8
    assert drawn.count('"') == 8
    assert "`" not in drawn
    assert "<" not in drawn.replace("-->", "")


def hostile() -> Report:
    tree = tree_of("restart")
    text = json.dumps(tree)
    for name in ("/cache", "pika/tiny", "web-state", "security.nesting", "persistent_volume"):
        text = text.replace(json.dumps(name), json.dumps(HOSTILE))
    tree = json.loads(text)
    tree["diagnostics"].append(
        {"urn": step(tree, "web")["urn"], "message": f"warning: {HOSTILE}", "severity": "warning"}
    )
    for one in tree["steps"]:
        one["urn"] = one["urn"].replace("::web", f"::{HOSTILE}")
    return of_tree(tree)


def test_hostile_names() -> None:
    made = hostile()
    assert any(change.name == HOSTILE for change in made.changes)
    text = markdown(made, title=HOSTILE)
    tame = markdown(report("restart"), title="tame")
    # The same blocks, whatever stands in them.
    for start in ("#", "- ", "```", "| "):
        assert sum(line.startswith(start) for line in text.splitlines()) == sum(
            line.startswith(start) for line in tame.splitlines()
        ) + (start == "- "), start
    for line in text.splitlines():
        if line.startswith("|"):
            assert cells(line) in (2, 5), line
    body = text.partition("\n")[2]
    assert "<img" not in body
    assert set(re.findall(r"<[^>]*>", body)) <= {"<code>", "</code>"}
    assert "@everyone" not in re.sub(r"`[^`\n]*`", "", body)


def test_parts() -> None:
    text = markdown(report("replace", ("delete-data",)))
    assert text.startswith("<!-- pulumi_pika report: pika-test/test -->\n### Preview of ")
    assert "\n2 to replace, 6 unchanged\n" in text
    assert "- data is deleted (delete-data): db\n" in text
    order = [
        text.index(part)
        for part in ("Gate failed", "**3 warnings**", "#### replace runtime `db`", "```mermaid")
    ]
    assert order == sorted(order)
    assert "| image | `pika/tiny` → **`pika/tiny-two`** |" in text
    assert "| host | `host` |" in text
    assert (
        "| `pk-persis-811f67f4` | persistent_volume | `db-state` → `/mnt/state` | read-write |"
        in text
    )


def test_changes_of_devices() -> None:
    text = markdown(report("update"))
    assert "**changed**; name was `pk-cache-a70f1bd6`; source was `/nowhere/cache` |" in text
    assert "| memory | `64 MiB` → **`96 MiB`** |" in text
    assert "**skipped at the last apply** |" in markdown(report("drift"))
    assert "Changed outside Pulumi, and corrected: resources." in markdown(report("drift"))


def test_failed_preview_says_so() -> None:
    assert "**The preview failed, so that " in markdown(report("invalid"))
    assert "preview failed" not in markdown(report("update"))


def many(count: int) -> Report:
    """A preview with as many runtimes again, each with a reason of its own."""
    tree = tree_of("replace")
    template = json.dumps(step(tree, "web"))
    for at in range(count):
        text = template.replace("web", f"web{at:04}")
        # The reasons, too, are those of each alone.
        made = json.loads(text.replace('["incus.image_alias"]', f'["incus.image_alias", "r{at}"]'))
        tree["steps"].append(made)
    return of_tree(tree)


def test_long_reports_are_cut() -> None:
    made = many(300)
    text = markdown(made)
    assert 50_000 < len(text) <= 65_536
    assert "_Shortened to 65,536 characters; omitted: " in text
    # What matters most is whole: what deletes data, and the names of all that is replaced.
    assert text.count("- **deletes data** `db`") == 1
    assert text.count("#### replace runtime ") == 302
    assert "| instance | `db` → **`db2`** |" in text
    assert len(markdown(made, max_chars=10_000_000)) > 200_000

    small = markdown(made, max_chars=5_000)
    assert len(small) <= 5_000
    assert "- replace runtime: db" in small
    assert "see --format json" in small


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("most", [FEWEST_CHARS, 1500, 3000])
def test_no_report_is_longer_than_it_may_be(name: str, most: int) -> None:
    for made in (report(name), hostile()):
        text = markdown(made, title="#" * 500, max_chars=most)
        assert len(text) <= most
        assert text.startswith("<!-- pulumi_pika report: ")
        assert text.endswith("\n")
        assert "Gate failed" in text or not made.held


def test_what_fits_is_not_cut() -> None:
    whole = markdown(report("replace"))
    assert markdown(report("replace"), max_chars=len(whole)) == whole
    shorter = markdown(report("replace"), max_chars=len(whole) - 1)
    assert len(shorter) < len(whole)
    assert "omitted: the diagram" in shorter


def test_pictures_that_nobody_could_read() -> None:
    text = markdown(many(40), max_chars=10_000_000)
    assert "```mermaid" not in text
    assert "| host | runtimes | jobs | volumes | that change |\n" in text
    assert "\n| host | 41 | 0 | 42 | 41 |\n" in text
