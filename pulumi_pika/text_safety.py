"""Make untrusted texts safe to show and to pass to Pulumi.

A guest, a server, another client of the host or the author of a file may have written them.
`UNSEEN` is the one set of invisible characters; each function below says what it does with them.
This module imports nothing of the package, so that every layer can use it.
"""

import re
from collections.abc import Callable
from typing import Any, Final

UNSEEN: Final = re.compile(
    "["
    # Control characters, except tab and newline; halves of surrogate pairs.
    "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
    # Characters that end a line or a paragraph, and the controls of the writing direction.
    "\u2028-\u202e\u061c\u200e\u200f\u2066-\u2069"
    # Characters without a width, or without one of their own: joiners, fillers, soft hyphens, tags,
    # notation.
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    # Variants of the character before; not U+FE0E and U+FE0F, which ordinary symbols have.
    "\ufe00-\ufe0d\U000e0000-\U000e0fff"
    "]"
)
"""One invisible character, in three kinds.

The kinds are commands to a terminal, characters that make text look like another text, and
characters without a width. Tab and newline are not among them.
"""

_SHOWN: Final = "\N{REPLACEMENT CHARACTER}"
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def strip_controls(text: str) -> str:
    """Return a text of any number of lines with U+FFFD for each invisible character.

    Line ends of CR and LF become LF.
    """
    if text.isascii() and text.isprintable():
        return text
    return UNSEEN.sub(_SHOWN, text.replace("\r\n", "\n"))


def one_line(text: str, most: int | None = None) -> str:
    """Return a text as one line without invisible characters.

    Each run of white space becomes one space.

    Args:
        text: the text.
        most: how many characters the line may have; a longer one is cut, and ends with an ellipsis.
            Default: None, no limit.
    """
    if most is None:
        return UNSEEN.sub(_SHOWN, " ".join(text.split()))
    # Cut before and after: a text may be megabytes long and consist of white space only.
    line = UNSEEN.sub(_SHOWN, " ".join(text[: most * 8].split()))
    whole = len(line) <= most and len(text) <= most * 8
    return line if whole else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def without_breaks(text: str) -> str:
    """Return a text as one line without invisible characters; spaces and tabs stay as they are."""
    return " ".join(strip_controls(text).split("\n"))


def visible(text: str) -> str:
    """Return a text as one line with an escape for each character that cannot be read.

    These are the invisible characters, newlines, and spaces other than the common one. An escape is
    one of Python's, such as ``\\n`` or ``\\u202e``. Backslashes stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if is_visible(c) else escape(c) for c in text)


def is_visible(character: str) -> bool:
    """Return whether a reader can recognize a character.

    Invisible characters, and spaces other than the common one, cannot be recognized.
    """
    return character.isprintable() and not UNSEEN.match(character)


def escape(character: str) -> str:
    """Return the Python escape of a character."""
    if character in _NAMED:
        return _NAMED[character]
    number = ord(character)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def visible_json(document: str) -> str:
    """Return a JSON document with JSON escapes for the invisible characters in its strings.

    Its meaning does not change. Tabs and newlines outside of strings stay.
    """
    return UNSEEN.sub(lambda found: _json_escape(found[0]), document)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


_DIRECTIVE: Final = "<{%"
_RESERVED: Final = re.compile(
    # The key that turns a mapping into something else (a secret, an asset, a reference), and the
    # strings that stand for unknown values: sdk/go/common/resource/sig/sig.go and
    # resource/plugin/rpc.go.
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
"""The start of a YAML tag that means base64, or of a text that may define such a tag."""
_ESCAPE: Final = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|[\r\n\x85\u2028\u2029][ \t]*|(.))"
)
_MEANT: Final = {"n": "\n", "r": "\r", "t": "\t", "N": "\x85", "L": "\u2028", "P": "\u2029"}
_ROUNDS: Final = 12
"""How often a text is unescaped; honest texts need fewer rounds."""


def break_directives(text: str) -> str:
    """Return a text in which Pulumi finds no commands and no reserved values.

    Pulumi treats ``<{%...%}>`` in a message, or in a value that a diff shows, as a command to color
    what follows. An unknown command ends the engine with a panic and leaves the stack locked
    (sdk/go/common/diag/colors/colors.go). A diff decodes JSON and YAML within a value and shows the
    result, so an escaped directive counts too (pkg/backend/display/object_diff.go, `decodeValue`).
    Other strings stand for a value that is not known yet. As the key of a mapping, one stands for a
    file of the machine that runs Pulumi.

    U+FFFD is inserted at each such place: after the ``<`` of a directive. In a text with a
    directive within escapes, it replaces each backslash.
    """
    text = text.replace(_DIRECTIVE, f"<{_SHOWN}{{%")
    text = _RESERVED.sub(lambda found: f"{found[0][0]}{_SHOWN}{found[0][1:]}", text)
    text = _TAG.sub(lambda found: f"{found[0]}{_SHOWN}", text)
    return text.replace("\\", _SHOWN) if "\\" in text and _has_hidden_one(text) else text


def _has_hidden_one(text: str) -> bool:
    """Return whether decoding a text as JSON or YAML, repeatedly, may give a directive.

    It decodes more than either format does.
    """
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
    """Return a text of any number of lines as Pulumi's engine can store and show it.

    A changed text contains U+FFFD, so it cannot be confused with a text of the program.
    """
    if text.isascii() and text.isalnum() and len(text) < _SHORTEST_RESERVED:
        return text
    return break_directives(UNSEEN.sub(_SHOWN, text))


def key_for_engine(key: str) -> str:
    """Return a string as the key of a mapping: a diff shows keys as they are, without quotes."""
    return for_engine(key).replace("\n", _SHOWN)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON-like tree with every string changed, and with keys that Pulumi can show.

    Args:
        value: a mapping, a list, or another value. Values other than strings are not changed.
        change: returns the new value of a string that is not a key.
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key_for_engine(key): map_texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [map_texts(item, change) for item in value]
    return value
