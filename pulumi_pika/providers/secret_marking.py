"""Keeps what a user marked secret out of state, previews, logs and errors.

The engine hands secrets to dynamic providers in plain text and marks only outputs of the same name
secret again. So the resource sends the paths of its secret inputs along (`secret_inputs`), and
everything here that is derived from one of them is marked secret too.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pulumi.dynamic import CheckFailure
from pulumi.runtime.rpc import wrap_rpc_secret

from ..reconcile.instances.desired import volume_name
from ..redaction import ValueRedactor
from ..text_safety import (
    break_directives,
    for_engine,
    key_for_engine,
    map_texts,
    visible,
)
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import (
    SECRET_INPUTS,
    SPEC_FIELDS,
    affects_device_name,
    plan_paths_of,
)
from ..validation.property_tree import (
    Path,
    get_path,
    parse_path,
    path_text,
    paths_overlap,
    set_path,
)

_SHORTEST: Final = 3
"""Shorter texts occur everywhere; hiding them would say more than it hides."""

_LONGEST: Final = 4000

_DERIVED: Final[tuple[tuple[Path, tuple[str, ...]], ...]] = (
    (("identity", "instance_name"), ("instance_name",)),
    (
        ("incus", "image_alias"),
        ("image_fingerprint", "current_alias_fingerprint", "original_image_fingerprint"),
    ),
    (("incus", "profile"), ("volume_storage_pool", "devices")),
    (("extra_profiles",), ("volume_storage_pool", "devices")),
    (("storage_pool",), ("volume_storage_pool", "devices")),
    (("mount_storage_pools",), ("devices",)),
    (("instance_type",), ("devices",)),
    (("resources", "root_disk_gib"), ("devices",)),
    # A device's name is a hash of its source, and a key cannot be secret by itself.
    (("mounts",), ("devices", "skipped_mounts", "skipped_outputs", "on_delete")),
    (("delete_data",), ("on_delete",)),
    (("running",), ("status",)),
    # It names the file that it looked for.
    (("paths",), ("guest_status",)),
    (("lifecycle_root",), ("guest_status",)),
)
"""Which outputs tell something of which inputs, beyond the plan and its digest."""


def secret_paths(inputs: dict[str, Any]) -> list[Path]:
    """The paths of the inputs that are secret."""
    given = inputs.get(SECRET_INPUTS)
    if not isinstance(given, list):
        return []
    return [path for text in given if isinstance(text, str) and (path := parse_path(text))]


def is_secret(path: Path, inputs: dict[str, Any]) -> bool:
    """Whether a part of the inputs, or something in it, is secret."""
    return any(paths_overlap(path, other) for other in secret_paths(inputs))


def mark_secrets(
    tree: dict[str, Any], secret: Iterable[Path], given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Marks everything in a property tree secret that is, or is derived from, a secret input, and
    makes what others wrote in it safe for the engine; see `make_safe`.

    Args:
        tree: inputs or outputs, which are changed.
        secret: the paths of the secret inputs.
        given: the inputs that the program gave, or that the state has of it.
    """
    secret = list(secret)
    tells = _leaks_secret({SECRET_INPUTS: [path_text(path) for path in secret], **tree})
    make_safe(tree, given)
    if tells:
        _wrap(tree, ("guest_status",))
    for path in secret:
        if path[0] in SPEC_FIELDS:
            for planned in plan_paths_of(path):
                _wrap(tree, ("plan", *planned))
            # A low-entropy value could be found by trying.
            _wrap(tree, ("plan_digest",))
        for source, outputs in _DERIVED:
            if paths_overlap(path, source):
                for output in outputs:
                    _wrap(tree, (output,))
        _wrap(tree, path)
    return tree


def mark_secret_inputs(
    tree: dict[str, Any],
    secret: Iterable[Path],
    derived: Mapping[str, Iterable[str]],
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Marks the secret inputs secret in a property tree that has no plan, and makes what others
    wrote in it safe for the engine; see `make_safe`.

    Args:
        tree: inputs or outputs, which are changed.
        secret: the paths of the secret inputs.
        derived: which outputs tell something of which inputs, by name.
        given: the inputs that the program gave, or that the state has of it.
    """
    make_safe(tree, given)
    for path in secret:
        for output in derived.get(str(path[0]), ()):
            _wrap(tree, (output,))
        _wrap(tree, path)
    return tree


def make_safe(tree: dict[str, Any], given: Mapping[str, Any] | None) -> None:
    """Change the strings in a property tree that the program did not give, as `for_engine` does.

    What the program gave stays to the letter, or each refresh would find a difference. What was
    changed on the host, the description of an instance for one, differs from it in any case: it
    shows as a change, and an update, which compares with the host itself, puts the program's value
    back.

    Args:
        tree: inputs or outputs, which are changed.
        given: the inputs that the program gave, or that the state has of it.
    """
    given = given or {}
    for name, value in tree.items():
        tree[name] = _safe(value, given.get(name))


def _safe(value: Any, given: Any) -> Any:
    if value == given:
        return value
    if isinstance(value, dict) and isinstance(given, dict):
        return {
            key if key in given else key_for_engine(key): _safe(item, given.get(key))
            for key, item in value.items()
        }
    if isinstance(value, list) and isinstance(given, list):
        # A mount that was taken away outside moves those behind it.
        return [item if item in given else map_texts(item, for_engine) for item in value]
    return map_texts(value, for_engine)


def _leaks_secret(tree: dict[str, Any]) -> bool:
    """Whether the guest's own words, which are no input of ours, have a secret in them."""
    said = tree.get("guest_status")
    if not isinstance(said, dict):
        return False
    redact = Redactor(tree)
    return any(redact(text) != text for text in _texts(said))


def _wrap(tree: dict[str, Any], path: Path) -> None:
    # A secret around this one says it already; what is gone hides nothing, but for a mount, which
    # may have moved to another place in the list.
    while path:
        value = get_path(tree, path)
        if value is not None:
            set_path(tree, path, wrap_rpc_secret(value))
            return
        if "mounts" not in path[:2] or path[-1] == "mounts":
            return
        path = path[:-1]


def secret_paths_after_refresh(
    secret: Iterable[Path], applied: list[str], seen: list[str]
) -> list[Path]:
    """The paths of the secret inputs in a tree that a refresh has made.

    Args:
        secret: the paths in the tree that was applied.
        applied: the devices of its mounts.
        seen: the devices of the mounts that the refresh saw.
    """
    if applied == seen:
        return list(secret)
    # Any mount may stand at any place now.
    return [("mounts",) if path[0] == "mounts" else path for path in secret]


def check_failures(
    failures: Iterable[Failure], inputs: dict[str, Any], plan: dict[str, Any] | None = None
) -> list[CheckFailure]:
    """The failures as Pulumi takes them, without secrets.

    The engine prints the value of the property that a failure names, secret or not, where the name
    is that of a whole argument; then the name goes into the reason.

    Args:
        failures: what is wrong.
        inputs: the inputs.
        plan: what they come to, as far as that could be told, for names that are derived.
    """
    redact = Redactor({**inputs, "plan": plan})
    secret = secret_paths(inputs)
    found: dict[tuple[str, str], CheckFailure] = {}
    for failure in failures:
        path = failure.path
        for other in secret:
            # The keys of a secret map are secret.
            if path[: len(other)] == other:
                path = path[: len(other)]
        reason, where = _encodable(redact(failure.reason)), _encodable(path_text(path))
        if path != failure.path:
            reason = f"in a secret part of it: {reason}"
        if len(path) == 1 and any(other[0] == path[0] for other in secret):
            where, reason = "", f"{where} {reason}"
        found[where, reason] = CheckFailure(where, reason)
    return list(found.values())


def _encodable(text: str) -> str:
    """The text as one line that the engine can show, and not endless."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... ({len(text)} characters)"
    return break_directives(visible(text))


class Redactor(ValueRedactor):
    """Replaces the secret values of a resource in any text."""

    def __init__(self, *trees: dict[str, Any]) -> None:
        values: set[str] = set()
        for tree in trees:
            for path in secret_paths(tree):
                for text in _texts(get_path(tree, path), keys=path[0] not in _MODELS):
                    values.update(_spellings(text))
                    if path[0] == "mounts":
                        values.update(_spellings(volume_name(text)))
                if path[0] == "mounts":
                    values.update(_derived_names(tree, path))
        super().__init__(value for value in values if len(value) >= _SHORTEST)


_MODELS: Final = (*(set(SPEC_FIELDS) - {"labels", "metadata"}), "timeouts")
"""Arguments whose keys are field names, and known to all."""


def _texts(value: Any, *, keys: bool = True) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if keys:
                yield str(key)
            yield from _texts(item, keys=keys)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, keys=keys)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


_WORD: Final = re.compile(r"[^\s\"'`=,;<>(){}\[\]]{8,}")


def _spellings(text: str) -> Iterator[str]:
    """How a text shows in messages: whole, by line and by word; as it is, in a URL, in JSON (by
    Python or Go), as repr."""
    lines = (line for line in text.splitlines() if len(line.strip()) >= 8)
    # A console shows words of a script rather than its lines. Those with digits among the letters
    # are no words of a language.
    words = (word for word in _WORD.findall(text) if re.search(r"\d", word) and not word.isdigit())
    for part in {text, *lines, *words}:
        yield part
        yield part.strip()
        yield quote(part, safe="", errors="replace")
        yield quote(part, errors="replace")
        yield quote_plus(part, errors="replace")
        yield json.dumps(part)[1:-1]
        as_json = json.dumps(part, ensure_ascii=False)[1:-1]
        yield as_json
        yield "".join(f"\\u{ord(c):04x}" if c in "<>&\u2028\u2029" else c for c in as_json)
        yield repr(part)[1:-1]


def _derived_names(tree: dict[str, Any], path: Path) -> Iterator[str]:
    mounts = get_path(tree, ("plan", "mounts"))
    if isinstance(mounts, list) and affects_device_name(path):
        for index, mount in enumerate(mounts):
            if len(path) < 2 or path[1] == index:
                name = mount.get("device_name") if isinstance(mount, dict) else None
                if isinstance(name, str):
                    yield name
