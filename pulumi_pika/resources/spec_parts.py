"""Fill the parts of a spec, such as `resources`, from flat arguments, such as `memory_mib`."""

import inspect
from collections.abc import Mapping
from typing import Any

import pulumi

from ..message_templates import CONFLICT, Message, invalid_value
from ..planner.flat_arguments import FLAT_ARGUMENTS
from .errors import InvalidArguments
from .property_inputs import to_plain, with_mount_pools


def instance_inputs(
    resource_name: str,
    resource: str,
    spec: Any,
    image: Any,
    incus: Any,
    arguments: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the inputs of a runtime or a job, with all flat arguments in the parts of the spec.

    The instance's name and the runtime id are the resource's name unless the program gives others:
    no suffix is added, so that they are the same in every stack and after every replacement.

    Args:
        resource_name: The name of the resource in the stack.
        resource: The name of its class, for messages.
        spec: A `RuntimeSpec`, its JSON, or None.
        image: The alias of the image, or None.
        incus: The part `incus` of the spec, or None.
        arguments: All other arguments.

    Raises:
        InvalidArguments: A value is given in two ways, or the spec names another provider.
    """
    where = f"{resource} {resource_name!r}"
    given = {"image": image, "incus": incus, **arguments}
    flat = {
        name: value
        for name in FLAT_ARGUMENTS
        if (value := to_plain(given.pop(name, None))) is not None
    }
    tree = {**_spec_fields(spec, where), **to_plain(given)}
    defaults = {"identity": {"runtime_id": resource_name, "instance_name": resource_name}}
    for part in dict.fromkeys(part for part, _ in FLAT_ARGUMENTS.values()):
        values = {name: value for name, value in flat.items() if FLAT_ARGUMENTS[name][0] == part}
        if values or part in defaults:
            tree[part] = _filled(tree.get(part), values, defaults.get(part, {}), where)
    return with_mount_pools(tree)


def _spec_fields(spec: Any, where: str) -> dict[str, Any]:
    """Return the fields of a whole spec, as arguments.

    Raises:
        InvalidArguments: The spec names another provider than `incus`.
    """
    fields = dict(to_plain(spec)) if spec is not None else {}
    # A spec names its provider (only one exists); a resource does not.
    provider = fields.pop("provider", "incus")
    if provider != "incus":
        problem = invalid_value(provider, "provider", "use `incus`")
        raise InvalidArguments(Message(f"{where}: spec.provider: {problem}", problem.code))
    return fields


def _filled(part: Any, flat: dict[str, Any], defaults: dict[str, Any], where: str) -> Any:
    """Return a part of the spec with the values of flat arguments, by argument.

    Raises:
        InvalidArguments: A value is given in two ways.
    """
    if isinstance(part, pulumi.Output) or inspect.isawaitable(part):
        whole: pulumi.Output[dict[str, Any]] = pulumi.Output.all(part=part, **flat)
        return whole.apply(
            lambda known: _filled(
                to_plain(known["part"]), {name: known[name] for name in flat}, defaults, where
            )
        )
    if part is None:
        part = {}
    if not isinstance(part, dict):
        # Not a mapping: the provider's `check` reports it with all other problems.
        return part
    for name in flat:
        section, field = FLAT_ARGUMENTS[name]
        if field in part:
            raise InvalidArguments(
                Message(
                    f"{where}: {name} and {section}.{field} are the same value, and both are set; "
                    "remove one of them",
                    CONFLICT,
                )
            )
    return {**defaults, **part, **{FLAT_ARGUMENTS[name][1]: flat[name] for name in flat}}
