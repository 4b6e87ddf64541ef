"""What becomes of texts that others wrote."""

import json
import unicodedata
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pulumi_pika.text_safety import (
    UNSEEN,
    break_directives,
    for_engine,
    map_texts,
    one_line,
    strip_controls,
    visible,
    visible_json,
    without_breaks,
)

from ..support.hostile import (
    BASE64,
    DIRECTIVE,
    ESCAPED,
    SIGNATURE,
    UNKNOWN,
)

SEEN = "\t\n aä日\U0001f600\u00a0\u0301\ufe0f\ufffd"
"""Characters that are shown: blanks, accents, the form of an emoji, what replaces others."""
DRAWN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Characters that Unicode counts among the formats though they are drawn."""
ODD = st.sampled_from(
    ["<", "{", "%", "<{%", "\\", "\n", "\\u003c", "\\x7b", "u005c", "!", "!!binary ", "PHsl", "\r"]
)
TEXTS = st.lists(ODD | st.characters() | st.text(max_size=3), max_size=12).map("".join)


def test_unseen_characters() -> None:
    for character in SEEN:
        assert not UNSEEN.match(character), hex(ord(character))
    for number in range(0x110000):
        character = chr(number)
        # Controls, halves of pairs, formats, separators of lines and paragraphs.
        if unicodedata.category(character) in ("Cc", "Cs", "Cf", "Zl", "Zp"):
            expected = character not in "\t\n" + DRAWN
            assert bool(UNSEEN.match(character)) == expected, hex(number)
    for character in "\u034f\u115f\u3164\uffa0\U000e0100":
        assert UNSEEN.match(character)


@given(TEXTS)
def test_what_each_function_leaves(text: str) -> None:
    for function in (strip_controls, for_engine):
        assert not UNSEEN.search(function(text))
        assert function(function(text)) == function(text)
    for line in (one_line(text), one_line(text, 5), without_breaks(text), visible(text)):
        assert not UNSEEN.search(line)
        assert "\n" not in line
    assert len(one_line(text, 5)) <= 5
    document = json.dumps({text: [text]}, ensure_ascii=False)
    assert json.loads(visible_json(document)) == {text: [text]}
    assert not UNSEEN.search(visible_json(document))


def decoded(value: Any, depth: int = 6) -> list[str]:
    """All texts that a value may be shown as, decoded as often as there is anything to decode."""
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in decoded(one, depth)]
    if isinstance(value, list):
        return [text for one in value for text in decoded(one, depth)]
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str):
        return []
    found = [value]
    for decode in (json.loads, yaml.safe_load):
        try:
            inner = decode(value)
        except (ValueError, yaml.YAMLError, RecursionError, TypeError):
            continue
        if depth and inner != value:
            found += decoded(inner, depth - 1)
    return found


@given(TEXTS)
def test_no_decoding_gives_a_directive(text: str) -> None:
    shapes = [text, json.dumps([text]), json.dumps([json.dumps({text: text})]), f'- "{text}"\n- b']
    for shape in (*shapes, f"- '{text}'\n- b", f"a: |\n  {text}\nb: c"):
        assert not [found for found in decoded(break_directives(shape)) if "<{%" in found]


@pytest.mark.parametrize(
    "text",
    [
        DIRECTIVE,
        ESCAPED,
        BASE64,
        UNKNOWN,
        SIGNATURE,
        '["\\u005cu003c{%x%}>"]',
        '- "<\\\n  {%x%}>"\n- b',
        "%TAG ! tag:yaml.org,2002:bin\n---\n- !ary PHsleCV9Pg==\n- b",
        "- !<tag:yaml.org,2002:%62inary> PHsleCV9Pg==\n- b",
        "\\" * 100_000,
        "\\u005cu005c" * 10_000,
    ],
)
def test_commands_to_the_engine_are_broken(text: str) -> None:
    broken = break_directives(text)
    assert broken != text
    # So that no text of a program is taken for it.
    assert "\ufffd" in broken
    assert break_directives(broken) == broken
    assert not [found for found in decoded(broken) if "<{%" in found or found == UNKNOWN]


@pytest.mark.parametrize(
    "text",
    [
        "a < {b} 100%> c",
        "C:\\Users\\u0041\\new",
        '{"message": "a \\u003c b", "n": 1}',
        "!important; done!",
        "\\\\server\\share",
        "for x in <%= y %>\n\tend",
    ],
)
def test_honest_texts_stay(text: str) -> None:
    assert for_engine(text) == text


def test_trees() -> None:
    tree = {"a<{%": ["<{%", 1, None, {"b\n": True}], SIGNATURE: "x"}
    assert map_texts(tree, for_engine) == {
        "a<\ufffd{%": ["<\ufffd{%", 1, None, {"b\ufffd": True}],
        f"4\ufffd{SIGNATURE[1:]}": "x",
    }


def test_lines() -> None:
    assert strip_controls("a\r\nb\tc\rd\x1b[2J") == "a\nb\tc\ufffdd\ufffd[2J"
    assert one_line(" a \n\t b\u200b") == "a b\ufffd"
    assert one_line("a" * 10, 5) == "aaaa\N{HORIZONTAL ELLIPSIS}"
    assert without_breaks("\tindented  so\nforged") == "\tindented  so forged"
    assert visible("a\n\u202e\u00a0\U000e0041\\") == "a\\n\\u202e\\xa0\\U000e0041\\"
