"""Do the calls of all kinds of resources, between Pulumi's property trees and typed objects.

A tree is opened, normalized and parsed here, once, and only the typed object goes on to the calls
of the kind (`resource_kind.Kind`). Their result comes back as one typed object, and is sealed here,
once: secrets are marked, the version is written, the hidden property is closed. Every exception
becomes an error for the user here, without secrets.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import DEEPEST, Path, path_text
from .hidden_property import close_hidden
from .host_connection import settings_problem
from .properties import CHECK_ONLY, Properties
from .provider_errors import ProviderError, user_facing_errors
from .replacement_refusal import note_check
from .resource_kind import InputsT, Kind, StateT
from .schema_version import SCHEMA_VERSION, newer, older
from .secret_marking import Redactor, check_failures

_NOT_PASSED_ON: Final = (
    "the Pulumi SDK of the program did not pass on the property `__pika`, which names the secret "
    "inputs. Nothing was changed. Use the same version of the pulumi package in the program and in "
    "its provider, and the resource classes of pulumi_pika"
)


def check(kind: Kind[InputsT, StateT], olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
    """Validate the inputs, and add what a preview shows.

    Args:
        kind: The kind of the resource.
        olds: The inputs that an earlier `check` returned; empty for a new resource.
        news: The inputs of the program.
    """
    try:
        before = Properties.parse(olds, kind.input_names)
        given = Properties.parse(news, (*kind.input_names, *CHECK_ONLY))
    except RecursionError:
        return CheckResult(
            {},
            [CheckFailure("", f"the inputs are nested too deeply; use at most {DEEPEST} levels")],
        )
    if SECRET_INPUTS not in given.names():
        # Without the hidden property, no secret can be recognized.
        return CheckResult({}, [CheckFailure("", _NOT_PASSED_ON)])
    # This comes first, since the host's defaults are part of the inputs. It is needed even if
    # nothing changed, since no call reports changed arguments of an `IncusHost`.
    if problem := settings_problem():
        return CheckResult({}, [CheckFailure("", problem)])
    redact = Redactor(given)
    with user_facing_errors(redact, given.hidden.owner) as report:
        given = kind.fill_inputs(before, given)
        old = kind.parse_inputs(before) if before.names() else None
        new = kind.look_up(kind.parse_inputs(given), old, report)
        note_check(given.hidden.owner)
        complete = given.without(CHECK_ONLY).with_values(kind.shown(new))
        # The names that are derived from secrets are known only now.
        redact.learn(complete, complete.hidden.secret)
        failures = list(kind.check(new, old, report))
    if failures:
        return CheckResult({}, check_failures(failures, complete))
    return CheckResult(_seal(kind, complete, complete), [])


def diff(kind: Kind[InputsT, StateT], olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
    """Return what a change of the inputs means.

    Args:
        kind: The kind of the resource.
        olds: The outputs in the state.
        news: The new inputs.
    """
    before, given = Properties.parse(olds), Properties.parse(news)
    with user_facing_errors(Redactor(before, given), given.hidden.owner) as report:
        return kind.diff(_parse_state(kind, before), kind.parse_inputs(given), report)


def create(kind: Kind[InputsT, StateT], props: dict[str, Any]) -> CreateResult:
    """Create the object on the host, or resume its interrupted create.

    Args:
        kind: The kind of the resource.
        props: The inputs that `check` returned.
    """
    given = Properties.parse(props)
    with user_facing_errors(Redactor(given), given.hidden.owner, undoable=kind.undoable) as report:
        new = kind.parse_inputs(given)
        _raise_if_failed(new.failures)
        created = kind.create(new, report)
    outputs = given.with_values({**created.outputs, "schema_version": SCHEMA_VERSION})
    return CreateResult(created.id, _seal(kind, outputs, given))


def read(kind: Kind[InputsT, StateT], id_: str, props: dict[str, Any]) -> ReadResult:
    """Return the state of the live object; a deleted object is returned as a deleted resource.

    Args:
        kind: The kind of the resource.
        id_: The id of the resource.
        props: The outputs in the state.
    """
    before = Properties.parse(props)
    with user_facing_errors(Redactor(before), before.hidden.owner) as report:
        state = _parse_state(kind, before)
        found = kind.read(state, report)
    if found is None:
        return ReadResult("", {})
    outputs = before.without(found.removed).with_values(found.outputs)
    inputs = None
    if found.inputs is not None:
        inputs = outputs.selected(kind.input_names).with_values(found.inputs)
    secret = before.hidden.secret if found.secret is None else tuple(found.secret)
    return ReadResult(
        id_,
        _seal(kind, outputs, before, secret),
        None if inputs is None else _seal(kind, inputs, before, secret),
    )


def update(kind: Kind[InputsT, StateT], olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
    """Change the object in place.

    Args:
        kind: The kind of the resource.
        olds: The outputs in the state.
        news: The new inputs.
    """
    before, given = Properties.parse(olds), Properties.parse(news)
    with user_facing_errors(Redactor(before, given), given.hidden.owner) as report:
        state, new = _parse_state(kind, before), kind.parse_inputs(given)
        _raise_if_failed(new.failures)
        updated = kind.update(state, new, report)
    outputs = given.with_values(
        {**before.part(updated.kept), **updated.outputs, "schema_version": SCHEMA_VERSION}
    )
    return UpdateResult(_seal(kind, outputs, given))


def delete(kind: Kind[InputsT, StateT], props: dict[str, Any]) -> None:
    """Delete the object, as far as its arguments say so.

    Args:
        kind: The kind of the resource.
        props: The outputs in the state.
    """
    before = Properties.parse(props)
    with user_facing_errors(Redactor(before), before.hidden.owner) as report:
        kind.delete(_parse_state(kind, before), report)


def _parse_state(kind: Kind[InputsT, StateT], properties: Properties) -> StateT:
    """Return the state in the properties of a resource.

    Raises:
        ProviderError: A newer version of pulumi_pika wrote it, or a development version.
    """
    text = newer(properties.at(("schema_version",)))
    if text := text or older(properties.names(), kind.older_names):
        raise ProviderError(text)
    return kind.parse_state(properties)


def _seal(
    kind: Kind[InputsT, StateT],
    outgoing: Properties,
    given: Properties,
    secret: Sequence[Path] | None = None,
) -> dict[str, Any]:
    """Return a property tree for Pulumi: secrets are marked, and the hidden property is closed.

    Args:
        kind: The kind of the resource.
        outgoing: The inputs or outputs.
        given: The inputs of the program, or the state with them.
        secret: The paths of the secret inputs; None if they are those of `given`.
    """
    tree = outgoing.part(outgoing.names())
    paths = given.hidden.secret if secret is None else secret
    return close_hidden(kind.mark_secrets(tree, paths, given.part(kind.input_names)))


def _raise_if_failed(failures: Iterable[Failure]) -> None:
    """Raise an exception if there are failures. `check` could not check values that were unknown
    then.

    Raises:
        ProviderError: The message lists all failures.
    """
    if text := "; ".join(f"{path_text(failure.path)}: {failure.reason}" for failure in failures):
        raise ProviderError(text)
