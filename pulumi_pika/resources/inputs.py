"""Prepares arguments for Pulumi: models become plain trees, secret parts are listed by path."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi


def tree_of(value: Any) -> Any:
    """The value with pydantic models as plain dicts and without what is None; Outputs stay.

    A model says only what was set in it, so that the program's words are what the state holds.
    """
    if isinstance(value, pulumi.Output):
        return value.apply(tree_of)
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(exclude_unset=True, exclude_none=True)
    if isinstance(value, Mapping):
        return {key: tree_of(item) for key, item in value.items() if item is not None}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [tree_of(item) for item in value]
    return value


def present(**arguments: Any) -> dict[str, Any]:
    """The arguments that were given."""
    return {name: value for name, value in arguments.items() if value is not None}


def fields_of(spec: Any, made_by: str) -> dict[str, Any]:
    """The fields of a whole spec, as arguments.

    Args:
        spec: a `RuntimeSpec`, its JSON, or None.
        made_by: what the resource says of who makes it, for messages.

    Raises:
        ValueError: it names another provider than `incus`.
    """
    fields = tree_of(spec) if spec is not None else {}
    # There is but one provider of instances here; a spec has to name it, a resource does not.
    provider = fields.pop("provider", "incus")
    if provider != "incus":
        raise ValueError(f"spec.provider is {provider!r}; {made_by} `incus`")
    return dict(fields)


def secret_inputs(props: Mapping[str, Any]) -> "pulumi.Output[list[str]]":
    """The property paths, as ``mounts[0].source``, of the parts of `props` that are secret."""
    from ..providers.values import path_text

    async def look() -> list[str]:
        return [path_text(path) for path, output in _outputs(props, ()) if await output.is_secret()]

    return pulumi.Output.from_input(look())


def own_urn(
    resource_name: str, type_token: str, opts: pulumi.ResourceOptions | None
) -> pulumi.Input[str]:
    """The URN that a resource is going to have.

    `pulumi.create_urn` gives it too, but as an output that depends on the parent; and a component
    depends on its children, so that a child with such an input would depend on itself.
    """
    parent = opts.parent if opts else None
    if parent is None:
        return pulumi.create_urn(resource_name, type_token)

    async def look() -> str:
        urn = await parent.urn.future()
        prefix, _, _ = str(urn).rpartition("::")
        qualified, _, parent_type = prefix.rpartition("::")
        if parent_type == "pulumi:pulumi:Stack":
            return f"{qualified}::{type_token}::{resource_name}"
        return f"{prefix}${type_token}::{resource_name}"

    return pulumi.Output.from_input(look())


def after_others(
    props: Mapping[str, Any], opts: pulumi.ResourceOptions | None
) -> "pulumi.Output[bool]":
    """Whether a resource waits for others of the program, which may still create what it needs.

    Always false in an `up` itself: Pulumi's SDK registers a resource only after everything that it
    depends on is done, so that what is missing then stays missing.
    """

    async def look() -> bool:
        if not pulumi.runtime.is_dry_run():
            return False
        if opts is not None and opts.depends_on:
            return True
        return any([bool(await output.resources()) for _, output in _outputs(props, ())])

    return pulumi.Output.from_input(look())


def _outputs(
    value: Any, at: tuple[str | int, ...]
) -> "Iterator[tuple[tuple[str | int, ...], pulumi.Output[Any]]]":
    if isinstance(value, pulumi.Output):
        yield at, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _outputs(item, (*at, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _outputs(item, (*at, index))
