"""What a hostile guest, or another client of the host, writes wherever it can."""

import base64
import re
import shlex

DIRECTIVE = "A<{%bogus%}>B <{%fg 0%}>hidden"
ESCAPED = '["\\u003c{%bogus%}>", "\\\\u003c{%bogus%}>"]'
BASE64 = "- !!binary " + base64.b64encode(b"<{%bogus%}>").decode() + "\n- b"
TERMINAL = "\x1b]0;OWNED\x07\x1b[2J\x9b31m\r"
UNSEEN = "a\u202egpj.exe\u200b\u2066"
FORGED = "\nerror: forged\n  warning: forged"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
ASSET = {SIGNATURE: "c44067f5952c0a294b673a41bacd8c17", "path": "/etc/hostname"}
ALL = f"{DIRECTIVE} {TERMINAL} {UNSEEN} {ESCAPED}{FORGED}"
"""All of it in one text; the texts that have to be the whole value stand by themselves."""
WHOLE = (ALL, DIRECTIVE, ESCAPED, BASE64, TERMINAL, UNSEEN, UNKNOWN, f"x\n{DIRECTIVE}\ny")

_COLOURS = re.compile(r"\x1b\[(?:[0-9]{1,2}|[34]8;5;[0-9]{1,2})(?:;[0-9]+)*m")
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069]")


def encoded(script: str) -> str:
    """A command that runs a script, without any of its characters."""
    text = base64.b64encode(script.encode()).decode()
    return f"echo {text} | base64 -d > /tmp/script; sh /tmp/script"


def written(path: str, text: str) -> str:
    """A line of a script that writes a file with a text and a newline."""
    return f"printf '%s\\n' {shlex.quote(text)} >> {path}"


def wrong_in(shown: str) -> list[str]:
    """What of an output has power over who reads it: commands to a terminal, forged lines."""
    # The engine's own colours, and how it ends a line on a terminal.
    plain = _COLOURS.sub("", shown.replace("\r\n", "\n"))
    found = [repr(command) for command in _COMMANDS.findall(plain)]
    found += [line for line in plain.splitlines() if re.match(r"(error|warning): forged", line)]
    found += ["panic"] * ("panic:" in plain or "Unrecognized color" in plain)
    return found
