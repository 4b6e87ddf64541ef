"""Keep secret inputs out of the plain text of state, previews, logs and errors.

The engine passes secrets to dynamic providers in plain text, and marks only outputs of the same
name as secret again. So the resource also passes the paths of its secret inputs (`secret_inputs`).
Everything that is derived from one of them is marked as secret too.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pulumi.dynamic import CheckFailure
from pulumi.runtime.rpc import wrap_rpc_secret

from ..reconcile.instances.cloud_config import NETWORK_KEY, USER_DATA_KEY
from ..reconcile.instances.desired import volume_name
from ..redaction import ValueRedactor
from ..text_safety import (
    break_directives,
    for_engine,
    key_for_engine,
    map_texts,
    visible,
)
from ..validation.hidden_property import SECRET_RESULTS
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import (
    SPEC_FIELDS,
    affects_device_name,
    plan_paths_of,
)
from ..validation.property_tree import (
    Path,
    get_path,
    path_text,
    paths_overlap,
    set_path,
)
from .properties import Properties, Values

_SHORTEST: Final = 3
"""The shortest secret that is redacted. Shorter strings occur everywhere, so that redaction would
reveal more than it hides."""

_LONGEST: Final = 4000

_DERIVED: Final[tuple[tuple[Path, tuple[str, ...]], ...]] = (
    (("identity", "instance_name"), ("instance_name",)),
    (
        ("incus", "image_alias"),
        ("image_fingerprint", "current_alias_fingerprint", "original_image_fingerprint"),
    ),
    (("incus", "profile"), ("volume_storage_pool", "devices")),
    (("extra_profiles",), ("volume_storage_pool", "devices")),
    (("profiles",), ("volume_storage_pool", "devices", "plan_digest")),
    (("storage_pool",), ("volume_storage_pool", "devices")),
    (("mount_storage_pools",), ("devices",)),
    (("mount_options",), ("devices",)),
    (("instance_type",), ("devices",)),
    (("resources", "root_disk_gib"), ("devices",)),
    # A device name is a hash of its source, and a key alone cannot be marked as secret.
    (("mounts",), ("devices", "skipped_mounts", "skipped_outputs", "on_delete")),
    (("delete_data",), ("on_delete",)),
    (("running",), ("status",)),
    # The status contains the path of the file.
    (("paths",), ("guest_status",)),
    (("lifecycle_root",), ("guest_status",)),
)
"""The outputs that reveal something about inputs, beyond the plan and its digest."""


def mark_secrets(
    tree: dict[str, Any], secret: Iterable[Path], given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Mark everything in a property tree as secret that is, or is derived from, a secret input.
    Untrusted strings are made safe for the engine; see `make_safe`.

    Args:
        tree: Inputs or outputs, which are changed in place.
        secret: The paths of the secret inputs.
        given: The inputs of the program, or of the state.
    """
    secret = list(secret)
    tells = _leaks_secret(Values(tree), secret)
    make_safe(tree, given)
    if tells:
        _wrap(tree, ("guest_status",))
    for path in secret:
        if path[0] in SPEC_FIELDS:
            for planned in plan_paths_of(path):
                _wrap(tree, ("plan", *planned))
            # A reader could find a value with low entropy by trying.
            _wrap(tree, ("plan_digest",))
        for source, outputs in _DERIVED:
            if paths_overlap(path, source):
                for output in outputs:
                    _wrap(tree, (output,))
        if path[0] == "profiles":
            _wrap(tree, ("plan", "incus", "profile"))
        if path[0] == "files" and len(path) > 2:
            # A reader could find a content with low entropy by trying.
            _wrap(tree, (*path[:2], "digest"))
        if path[0] == "cloud_init":
            # After a change by another client, the config has the whole text.
            for key in (USER_DATA_KEY, NETWORK_KEY):
                _wrap(tree, ("config", key))
        _wrap(tree, path)
    return tree


def mark_secret_inputs(
    tree: dict[str, Any],
    secret: Iterable[Path],
    given: Mapping[str, Any] | None = None,
    *,
    derived: Mapping[str, Iterable[str]],
) -> dict[str, Any]:
    """Mark the secret inputs as secret in a property tree without a plan. Untrusted strings are
    made safe for the engine; see `make_safe`.

    Args:
        tree: Inputs or outputs, which are changed in place.
        secret: The paths of the secret inputs.
        given: The inputs of the program, or of the state.
        derived: The outputs that reveal something about an input, by the name of the input.
    """
    make_safe(tree, given)
    for path in secret:
        for output in derived.get(str(path[0]), ()):
            _wrap(tree, (output,))
        _wrap(tree, path)
    return tree


def mark_exec_secrets(
    tree: dict[str, Any], secret: Iterable[Path], given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Mark the secret inputs of an `IncusExec` as secret, and the outputs of its command that
    contain a secret.

    Args:
        tree: Inputs or outputs, which are changed in place.
        secret: The paths of the secret inputs.
        given: The inputs of the program, or of the state.
    """
    results = tree.get(SECRET_RESULTS) or ()
    mark_secret_inputs(tree, secret, given, derived={})
    for name in results:
        _wrap(tree, (name,))
    return tree


def mark_planned_inputs(
    tree: dict[str, Any],
    secret: Iterable[Path],
    given: Mapping[str, Any] | None = None,
    *,
    derived: Mapping[str, Iterable[str]],
    plan_of: Callable[[Properties], dict[str, Any]],
    plan_path: Callable[[Path], Path],
) -> dict[str, Any]:
    """Mark the secret inputs as secret in a property tree with the plan of a config object.
    Untrusted strings are made safe for the engine; see `make_safe`.

    Args:
        tree: Inputs or outputs, which are changed in place.
        secret: The paths of the secret inputs.
        given: The inputs of the program, or of the state.
        derived: The outputs that reveal something about an input, by the name of the input.
        plan_of: Returns the plan of the inputs. Its strings are those of the program: after a
            refresh, `plan` in the state may have others.
        plan_path: Returns the path in the plan that an input sets; empty if it sets none.
    """
    given = given or {}
    own = {**given, "plan": plan_of(Properties.parse(given))}
    paths = list(secret)
    paths += [("plan", *where) for path in paths if (where := plan_path(path))]
    return mark_secret_inputs(tree, paths, own, derived=derived)


def make_safe(tree: dict[str, Any], given: Mapping[str, Any] | None) -> None:
    """Apply `for_engine` to the strings in a property tree that the program did not set.

    Strings of the program are not changed: otherwise each refresh would find a difference. A string
    that was changed on the host, such as the description of an instance, differs in any case and
    shows as a change. An update compares with the host itself and restores the program's value.

    Args:
        tree: Inputs or outputs, which are changed in place.
        given: The inputs of the program, or of the state.
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
        # If a mount was removed outside Pulumi, the indices of the mounts after it change.
        return [item if item in given else map_texts(item, for_engine) for item in value]
    return map_texts(value, for_engine)


def _leaks_secret(outputs: Values, secret: Iterable[Path]) -> bool:
    """Return whether the strings that the guest wrote contain a secret."""
    status = outputs.at(("guest_status",))
    if not isinstance(status, dict):
        return False
    redact = Redactor()
    redact.learn(outputs, secret)
    return any(redact(text) != text for text in _texts(status))


def _wrap(tree: dict[str, Any], path: Path) -> None:
    # A surrounding secret already covers this one. A missing value needs no mark, except a mount,
    # which may have another index in the list now.
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
    """Return the paths of the secret inputs in a tree that a refresh returned.

    Args:
        secret: The paths in the tree that was applied.
        applied: The devices of the mounts of that tree.
        seen: The devices of the mounts that the refresh found.
    """
    if applied == seen:
        return list(secret)
    # Each mount may have any index now.
    return [("mounts",) if path[0] == "mounts" else path for path in secret]


def check_failures(failures: Iterable[Failure], inputs: Properties) -> list[CheckFailure]:
    """Return the failures in Pulumi's form, without secrets.

    If a failure names a whole argument, the engine prints the value, secret or not. The name is
    then written to the reason instead.

    Args:
        failures: The failures.
        inputs: The inputs, with the plan for derived names.
    """
    redact = Redactor(inputs)
    secret = inputs.hidden.secret
    found: dict[tuple[str, str], CheckFailure] = {}
    for failure in failures:
        path = failure.path
        for other in secret:
            # The keys of a secret mapping are secret.
            if path[: len(other)] == other:
                path = path[: len(other)]
        reason, where = _encodable(redact(failure.reason)), _encodable(path_text(path))
        if path != failure.path:
            reason = f"in a secret part: {reason}"
        if len(path) == 1 and any(other[0] == path[0] for other in secret):
            where, reason = "", f"{where} {reason}"
        found[where, reason] = CheckFailure(where, reason)
    return list(found.values())


def _encodable(text: str) -> str:
    """Return the text as one line of limited length that the engine can show."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... ({len(text)} characters)"
    return break_directives(visible(text))


class Redactor(ValueRedactor):
    """Replaces the secret values of a resource in any text."""

    def __init__(self, *given: Properties) -> None:
        super().__init__(())
        self._values: set[str] = set()
        for properties in given:
            self.learn(properties, properties.hidden.secret)

    def learn(self, values: Values, secret: Iterable[Path]) -> None:
        """Replace further secrets too.

        Args:
            values: The properties of the resource, with the plan for derived names.
            secret: The paths of the secret ones.
        """
        for path in secret:
            for text in _texts(values.at(path), keys=path[0] not in _MODELS):
                self._values.update(_spellings(text))
                if path[0] == "mounts":
                    self._values.update(_spellings(volume_name(text)))
            if path[0] == "mounts":
                self._values.update(_derived_names(values, path))
        if self._values:
            super().__init__(value for value in self._values if len(value) >= _SHORTEST)


_MODELS: Final = (*(set(SPEC_FIELDS) - {"labels", "metadata"}), "timeouts", "cloud_init")
"""The arguments whose keys are public field names."""


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
    """Yield the forms of a secret in messages: complete, by line and by word; plain, in a URL, in
    JSON (of Python or Go), and as repr."""
    lines = (line for line in text.splitlines() if len(line.strip()) >= 8)
    # A console shows words of a script rather than its lines. Words with digits among the letters
    # are not words of a natural language.
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


def _derived_names(values: Values, path: Path) -> Iterator[str]:
    mounts = values.at(("plan", "mounts"))
    if isinstance(mounts, list) and affects_device_name(path):
        for index, mount in enumerate(mounts):
            if len(path) < 2 or path[1] == index:
                name = mount.get("device_name") if isinstance(mount, dict) else None
                if isinstance(name, str):
                    yield name
