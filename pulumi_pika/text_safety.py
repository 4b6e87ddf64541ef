"""Makes texts that others wrote safe to show and to hand to Pulumi.

A guest, a server, another client of the host or the author of a file may have written them.
`UNSEEN` is the one set of characters that nobody sees; each function below says what it does with
them. This module imports nothing of the package, so that every layer can use it.
"""

import re
from collections.abc import Callable
from typing import Any, Final

UNSEEN: Final = re.compile(
    "["
    # Control characters, but for tab and newline; halves of surrogate pairs.
    "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
    # What ends a line or a paragraph, and the controls of the writing direction.
    "\u2028-\u202e\u061c\u200e\u200f\u2066-\u2069"
    # What takes no room, or none of its own: joiners, fillers, soft hyphens, tags, notation.
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    # Variants of the character before; not U+FE0E and U+FE0F, which ordinary symbols have.
    "\ufe00-\ufe0d\U000e0000-\U000e0fff"
    "]"
)
"""One character that nobody sees: a command to a terminal, what makes text look like another text,
or what takes no room. Tab and newline are not among them."""

_SHOWN: Final = "\N{REPLACEMENT CHARACTER}"
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def strip_controls(text: str) -> str:
    """Return a text of any number of lines with U+FFFD for each unseen character.

    Lines that end with CR and LF end with LF then.
    """
    if text.isascii() and text.isprintable():
        return text
    return UNSEEN.sub(_SHOWN, text.replace("\r\n", "\n"))


def one_line(text: str, most: int | None = None) -> str:
    """Return a text as one line without unseen characters.

    Each run of white space becomes one blank.

    Args:
        text: the text.
        most: how many characters the line may have; a longer one is cut, and ends with an ellipsis.
            None does not cut.
    """
    if most is None:
        return UNSEEN.sub(_SHOWN, " ".join(text.split()))
    # Cut before and after: a text may be megabytes long, and all of it white.
    line = UNSEEN.sub(_SHOWN, " ".join(text[: most * 8].split()))
    whole = len(line) <= most and len(text) <= most * 8
    return line if whole else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def without_breaks(text: str) -> str:
    """Return a text as one line without unseen characters, with its blanks and tabs as they are."""
    return " ".join(strip_controls(text).split("\n"))


def visible(text: str) -> str:
    """Return a text as one line with an escape for each character that cannot be read.

    These are the unseen characters, newlines, and blanks other than the common one; an escape is
    one of Python's, as ``\\n`` or ``\\u202e``. Backslashes stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if is_visible(c) else escape(c) for c in text)


def is_visible(character: str) -> bool:
    """Whether a reader can tell a character: it is not unseen, nor a blank but the common one."""
    return character.isprintable() and not UNSEEN.match(character)


def escape(character: str) -> str:
    """Return a character as the escape that stands for it in Python."""
    if character in _NAMED:
        return _NAMED[character]
    number = ord(character)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def visible_json(document: str) -> str:
    """Return a JSON document with JSON's escapes for the unseen characters in its strings.

    It means the same as before. Tabs and newlines outside of strings stay.
    """
    return UNSEEN.sub(lambda found: _json_escape(found[0]), document)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


_DIRECTIVE: Final = "<{%"
_RESERVED: Final = re.compile(
    # The key by which a map is no map (a secret, an asset, a reference), and the texts that stand
    # for values not known yet: sdk/go/common/resource/sig/sig.go and resource/plugin/rpc.go.
    "4dabf18193072939515e22adb298388d"
    "|04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    "|1c4a061d-8072-4f0a-a4cb-0ff528b18fe7"
    "|3eeb2bf0-c639-47a8-9e75-3b44932eb421"
    "|6a19a0b0-7e62-4c92-b797-7f8e31da9cc2"
    "|030794c1-ac77-496b-92df-f27374a8bd58"
    "|e48ece36-62e2-4504-bad9-02848725956a"
    "|dd056dcd-154b-4c76-9bd3-c8f88648b5ff"
)
_SHORTEST_RESERVED: Final = 32
_TAG: Final = re.compile(r"^%(?=TAG)|!(?=[^\s\ufffd]*(?:binary|%))", re.MULTILINE)
"""Where a YAML tag that means base64 begins, or what may give one such a meaning."""
_ESCAPE: Final = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|[\r\n\x85\u2028\u2029][ \t]*|(.))"
)
_MEANT: Final = {"n": "\n", "r": "\r", "t": "\t", "N": "\x85", "L": "\u2028", "P": "\u2029"}
_ROUNDS: Final = 12
"""How often a text is unescaped; one that could be once more is nobody's honest text."""


def break_directives(text: str) -> str:
    """Return a text in which Pulumi finds nothing but text.

    Pulumi takes ``<{%...%}>`` in a message, or in a value that a diff shows, for a command to
    colour what follows. One that it does not know ends the engine with a panic and leaves the
    stack locked (sdk/go/common/diag/colors/colors.go). A diff decodes JSON and YAML within a value
    and shows what comes of it, so that an escaped directive is one too
    (pkg/backend/display/object_diff.go, `decodeValue`). Other texts stand for a value that is not
    known yet or, as the key of a map, for a file of the machine that runs Pulumi.

    U+FFFD comes into each place that Pulumi would take for more than text: it stands behind the
    ``<`` of a directive. In a text that has a directive within escapes it replaces each backslash.
    """
    text = text.replace(_DIRECTIVE, f"<{_SHOWN}{{%")
    text = _RESERVED.sub(lambda found: f"{found[0][0]}{_SHOWN}{found[0][1:]}", text)
    text = _TAG.sub(lambda found: f"{found[0]}{_SHOWN}", text)
    return text.replace("\\", _SHOWN) if "\\" in text and _has_hidden_one(text) else text


def _has_hidden_one(text: str) -> bool:
    """Whether decoding a text as JSON or YAML, as often as there is anything to decode, may give a
    directive. Decodes more than either would."""
    for _ in range(_ROUNDS):
        decoded = _ESCAPE.sub(_unescaped, text)
        if _DIRECTIVE in decoded or _TAG.search(decoded):
            return True
        if decoded == text:
            return False
        text = decoded
    return True


def _unescaped(found: re.Match[str]) -> str:
    number = found[1] or found[2] or found[3]
    if number:
        return chr(int(number, 16)) if int(number, 16) <= 0x10FFFF else ""
    return _MEANT.get(found[4], found[4]) if found[4] else ""


def for_engine(text: str) -> str:
    """Return a text of any number of lines as Pulumi's engine can keep and show it.

    A text that is changed has U+FFFD in it, so that no text of a program is taken for it.
    """
    if text.isascii() and text.isalnum() and len(text) < _SHORTEST_RESERVED:
        return text
    return break_directives(UNSEEN.sub(_SHOWN, text))


def key_for_engine(key: str) -> str:
    """Return a text as the key of a map: a diff shows keys as they are, without quotes."""
    return for_engine(key).replace("\n", _SHOWN)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a tree as of JSON with every string in it changed, and with keys that Pulumi can show.

    Args:
        value: a mapping, a list, or a value of which only strings are changed.
        change: what becomes of a string that is no key.
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key_for_engine(key): map_texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [map_texts(item, change) for item in value]
    return value
