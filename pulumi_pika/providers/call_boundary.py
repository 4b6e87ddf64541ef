"""Do the calls of all kinds of resources, between Pulumi's property trees and typed objects.

A tree is opened, normalized and parsed here, once, and only the typed object goes on to the calls
of the kind (`resource_kind.Kind`). Their result comes back as one typed object, and is sealed here,
once: secrets are marked, the version is written, the hidden property is closed. Every exception
becomes an error for the user here, without secrets.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from ..validation.hidden_property import open_hidden
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import Path, path_text, without_provider
from .hidden_property import close_hidden
from .host_connection import settings_problem
from .parsed_inputs import CHECK_ONLY
from .provider_errors import ProviderError, user_facing_errors
from .replacement_refusal import note_check
from .resource_kind import InputsT, Kind, StateT, Tree
from .schema_version import SCHEMA_VERSION, newer
from .secret_marking import Redactor, check_failures

_NOT_HANDED_ON: Final = (
    "the program's Pulumi SDK did not hand on what this provider needs (the property `__pika`), so "
    "that no secret would be known as one. Nothing was done. Use the same version of the pulumi "
    "package in the program and in its provider, and pulumi_pika's own resource classes"
)


def check(kind: Kind[InputsT, StateT], olds: Tree, news: Tree) -> CheckResult:
    """Validate the inputs, and add what a preview shows.

    Args:
        kind: The kind of the resource.
        olds: The inputs that an earlier `check` returned; empty for a new resource.
        news: The inputs of the program.
    """
    try:
        before, given = _open(olds), _open(news)
    except RecursionError:
        return CheckResult({}, [CheckFailure("", "the inputs are nested too deeply to be read")])
    if SECRET_INPUTS not in given:
        # Without the hidden property, no secret can be recognized.
        return CheckResult({}, [CheckFailure("", _NOT_HANDED_ON)])
    # This comes first, since the host's defaults are part of the inputs. It is needed even if
    # nothing changed, since no call reports changed arguments of an `IncusHost`.
    if problem := settings_problem():
        return CheckResult({}, [CheckFailure("", problem)])
    before = _named(before, kind.input_names)
    given = _named(given, (*kind.input_names, *CHECK_ONLY))
    redact = Redactor(given)
    with user_facing_errors(redact, _owner(given)) as report:
        given = kind.fill_inputs(before, given)
        old = kind.parse_inputs(before) if before else None
        new = kind.parse_inputs(given)
        note_check(new.hidden.owner)
        shown = {**_named(given, kind.input_names), **kind.shown(new)}
        if new.hidden.secret:
            # The names that are derived from secrets are known only now.
            redact.learn(shown)
        failures = list(kind.check(new, old, report))
    if failures:
        return CheckResult({}, check_failures(failures, shown))
    return CheckResult(_seal(kind, shown, shown, new.hidden.secret), [])


def diff(kind: Kind[InputsT, StateT], olds: Tree, news: Tree) -> DiffResult:
    """Return what a change of the inputs means.

    Args:
        kind: The kind of the resource.
        olds: The outputs in the state.
        news: The new inputs.
    """
    before, given = _open(olds), _open(news)
    with user_facing_errors(Redactor(before, given), _owner(given)) as report:
        return kind.diff(_parse_state(kind, before), kind.parse_inputs(given), report)


def create(kind: Kind[InputsT, StateT], props: Tree) -> CreateResult:
    """Create the object on the host, or resume its interrupted create.

    Args:
        kind: The kind of the resource.
        props: The inputs that `check` returned.
    """
    given = _open(props)
    with user_facing_errors(Redactor(given), _owner(given), undoable=kind.undoable) as report:
        new = kind.parse_inputs(given)
        _raise_if_failed(new.failures)
        created = kind.create(new, report)
    outputs = {**given, **created.outputs, "schema_version": SCHEMA_VERSION}
    return CreateResult(created.id, _seal(kind, outputs, given, new.hidden.secret))


def read(kind: Kind[InputsT, StateT], id_: str, props: Tree) -> ReadResult:
    """Return the state of the live object; a deleted object is returned as a deleted resource.

    Args:
        kind: The kind of the resource.
        id_: The id of the resource.
        props: The outputs in the state.
    """
    before = _open(props)
    with user_facing_errors(Redactor(before), _owner(before)) as report:
        state = _parse_state(kind, before)
        found = kind.read(state, report)
    if found is None:
        return ReadResult("", {})
    outputs = {name: value for name, value in before.items() if name not in found.removed}
    outputs.update(found.outputs)
    secret = state.hidden.secret if found.secret is None else list(found.secret)
    inputs = None
    if found.inputs is not None:
        inputs = {**_named(outputs, kind.input_names), **found.inputs}
    outputs = _seal(kind, outputs, before, secret)
    return ReadResult(id_, outputs, inputs and _seal(kind, inputs, before, secret))


def update(kind: Kind[InputsT, StateT], olds: Tree, news: Tree) -> UpdateResult:
    """Change the object in place.

    Args:
        kind: The kind of the resource.
        olds: The outputs in the state.
        news: The new inputs.
    """
    before, given = _open(olds), _open(news)
    with user_facing_errors(Redactor(before, given), _owner(given)) as report:
        state, new = _parse_state(kind, before), kind.parse_inputs(given)
        _raise_if_failed(new.failures)
        updated = kind.update(state, new, report)
    outputs = {
        **_named(before, updated.kept),
        **given,
        **updated.outputs,
        "schema_version": SCHEMA_VERSION,
    }
    return UpdateResult(_seal(kind, outputs, given, new.hidden.secret))


def delete(kind: Kind[InputsT, StateT], props: Tree) -> None:
    """Delete the object, as far as its arguments say so.

    Args:
        kind: The kind of the resource.
        props: The outputs in the state.
    """
    before = _open(props)
    with user_facing_errors(Redactor(before), _owner(before)) as report:
        kind.delete(_parse_state(kind, before), report)


def _open(props: Mapping[str, Any]) -> Tree:
    return without_provider(open_hidden(props))


def _owner(tree: Tree) -> str:
    owner = tree.get("owner")
    return owner if isinstance(owner, str) else ""


def _parse_state(kind: Kind[InputsT, StateT], tree: Tree) -> StateT:
    """Return the state in the outputs of a resource.

    Raises:
        ProviderError: A newer version of pulumi_pika wrote it.
    """
    if text := newer(tree.get("schema_version")):
        raise ProviderError(text)
    return kind.parse_state(tree)


def _named(tree: Tree, names: Iterable[str]) -> Tree:
    return {name: tree[name] for name in names if name in tree}


def _seal(
    kind: Kind[InputsT, StateT], tree: Tree, given: Tree, secret: Iterable[Path]
) -> dict[str, Any]:
    sealed = kind.mark_secrets(tree, secret, _named(given, kind.input_names))
    return close_hidden(sealed) or {}


def _raise_if_failed(failures: Iterable[Failure]) -> None:
    """Raise an exception if there are failures. `check` could not check values that were unknown
    then.

    Raises:
        ProviderError: The message lists all failures.
    """
    if text := "; ".join(f"{path_text(failure.path)}: {failure.reason}" for failure in failures):
        raise ProviderError(text)
