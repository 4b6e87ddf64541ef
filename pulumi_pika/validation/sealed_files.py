"""Replace the contents of the argument `files` by digests, before anything else reads the inputs.

The state, previews and errors show the inputs that `check` returns, so that no content is there.
"""

import base64
import binascii
from typing import Any, Final

from ..message_templates import conflict, invalid_value, must, required, wrong_type
from ..reconcile.instances.setup_files import MOST_BYTES, remember_content, source_digest
from .lenient_validation import Failure
from .property_tree import UNKNOWN, Path

FILES: Final = "files"
_ENCODINGS: Final = ("text", "base64")


def seal_files(given: Any) -> tuple[Any, list[Failure]]:
    """Return the argument `files` with a digest in place of each content, and what is wrong with
    it.

    Args:
        given: the value of the argument, which is not changed. Files that are sealed already stay
            as they are: Pulumi returns those for `ignore_changes=["files"]`.
    """
    if not isinstance(given, list):
        return given, []
    failures: list[Failure] = []
    return [_seal(file, (FILES, i), failures) for i, file in enumerate(given)], failures


def _seal(file: Any, at: Path, failures: list[Failure]) -> Any:
    if not isinstance(file, dict) or "digest" in file:
        return file
    sealed = {key: value for key, value in file.items() if key not in ("content", "encoding")}
    sealed["digest"] = UNKNOWN
    content, source = file.get("content"), file.get("source")
    if content is not None and source is not None:
        failures.append(Failure((*at, "source"), conflict("`content`")))
    elif source is not None:
        if source != UNKNOWN and isinstance(source, str):
            try:
                sealed["digest"] = source_digest(source)
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else None
                rule = f"{why or error}; name a file that this machine can read"
                failures.append(Failure((*at, "source"), invalid_value(source, "source", rule)))
    elif content is None:
        failures.append(Failure((*at, "content"), required()))
    elif content != UNKNOWN:
        digest = _content_digest(content, file.get("encoding", "text"), at, failures)
        sealed["digest"] = digest or UNKNOWN
    return sealed


def _content_digest(content: Any, encoding: Any, at: Path, failures: list[Failure]) -> str:
    """Keep a content; return its digest, or an empty string if it is unknown or wrong."""
    if not isinstance(content, str):
        failures.append(Failure((*at, "content"), wrong_type("a string")))
        return ""
    if encoding == UNKNOWN:
        return ""
    if encoding not in _ENCODINGS:
        failures.append(
            Failure((*at, "encoding"), must(f"be one of {', '.join(map(repr, _ENCODINGS))}"))
        )
        return ""
    try:
        data = base64.b64decode(content, validate=True) if encoding == "base64" else None
        data = content.encode() if data is None else data
    except (binascii.Error, UnicodeEncodeError):
        failures.append(Failure((*at, "content"), must(f"be valid {encoding}")))
        return ""
    if len(data) > MOST_BYTES:
        failures.append(Failure((*at, "content"), must(f"be at most {MOST_BYTES // 2**20} MiB")))
        return ""
    return remember_content(data)
