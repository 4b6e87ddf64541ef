"""Secrets to plant in a program, and the search for them in whatever came out of it."""

import base64
import secrets
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Plants:
    """Random values by name. What is searched for has hexadecimal digits only, so that no escaping
    hides it; base64 does, and is searched for too."""

    cores: dict[str, str] = field(default_factory=dict)
    _needles: dict[bytes, str] = field(default_factory=dict)

    def new(self, name: str, shape: str = "{}") -> str:
        """A value that has something new in it, in the place of the braces of `shape`."""
        core = f"5ec{secrets.token_hex(8)}"
        self.cores[name] = core
        self.forbid(core, name)
        return shape.replace("{}", core)

    def forbid(self, text: str, name: str) -> None:
        """Has a text searched for that is derived from a secret."""
        self._needles[text.encode()] = name
        for offset in range(3):
            # What stands before and after decides the first and the last digits: cut those off.
            encoded = base64.b64encode(b"x" * offset + text.encode())
            self._needles[encoded[4:-4] if offset else encoded[:-4]] = f"{name} (base64)"

    def found(self, *contents: str | bytes) -> list[str]:
        """The names of what shows in any of the contents."""
        known = [item.encode() if isinstance(item, str) else item for item in contents]
        return sorted(
            {name for needle, name in self._needles.items() for item in known if needle in item}
        )

    def found_below(self, directory: Path) -> dict[str, list[str]]:
        """What shows in which file."""
        files = [path for path in directory.rglob("*") if path.is_file()]
        found = {str(path): self.found(str(path), path.read_bytes()) for path in files}
        return {path: names for path, names in found.items() if names}
