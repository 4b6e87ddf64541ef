"""Prepare arguments for Pulumi: models become plain trees, and secret parts are listed by path."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pulumi

from ..providers.hidden_property import property_name
from ..validation.hidden_property import PREVIEWING
from .backend_identity import backend_digest


def to_plain(value: Any) -> Any:
    """Return the value with plain dicts in place of pydantic models, and without None; Outputs
    stay.

    Only the fields that were set in a model are returned, so that the state holds what the program
    wrote.
    """
    if isinstance(value, pulumi.Output):
        return value.apply(to_plain)
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(exclude_unset=True, exclude_none=True)
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [to_plain(item) for item in value]
    return value


def with_mount_pools(given: dict[str, Any]) -> dict[str, Any]:
    """Move the storage pools of the mounts into the argument `mount_storage_pools`.

    A mount of the plan has no pool, since other tools use the same form of plans. A
    `PersistentVolume` as a source is replaced by the volume's name, and its pool becomes the pool
    of the mount.

    Args:
        given: The arguments, as trees; they are not changed.

    Returns:
        The arguments; if a mount has a pool, with `mount_storage_pools`, which has a pool or an
        empty string for each mount.
    """
    mounts = given.get("mounts")
    if isinstance(mounts, pulumi.Output):
        split = mounts.apply(_split_mounts)
        return {**given, "mounts": split.apply(_first), "mount_storage_pools": split.apply(_second)}
    plain, pools = _split_mounts(mounts)
    if not any(pools):
        return {**given, "mounts": plain} if "mounts" in given else given
    return {**given, "mounts": plain, "mount_storage_pools": pools}


def _split_mounts(mounts: Any) -> tuple[Any, list[Any]]:
    if not isinstance(mounts, list):
        return mounts, []
    split = [_split_mount(mount) for mount in mounts]
    return [mount for mount, _ in split], [pool for _, pool in split]


def _split_mount(mount: Any) -> tuple[Any, Any]:
    """Return a mount without its pool, and the pool (empty if there is none)."""
    if isinstance(mount, pulumi.Output):
        split = mount.apply(_split_mount)
        return split.apply(_first), split.apply(_second)
    if not isinstance(mount, dict):
        return mount, ""
    source, pool = mount.get("source"), mount.get("storage_pool", "")
    if isinstance(source, pulumi.Resource):
        pool = pool or getattr(source, "storage_pool", "")
        source = getattr(source, "volume_name", source)
    if source is mount.get("source") and "storage_pool" not in mount:
        return mount, ""
    plain = {key: value for key, value in mount.items() if key != "storage_pool"}
    return {**plain, "source": source}, pool


def _first(pair: Any) -> Any:
    return pair[0]


def _second(pair: Any) -> Any:
    return pair[1]


def unknown_arguments(resource: str, arguments: Mapping[str, Any], known: Any) -> None:
    """Refuse unknown arguments of a resource, as Python itself does.

    Args:
        resource: The name of the resource's class.
        arguments: The keyword arguments.
        known: The typed dict that has all of them.

    Raises:
        TypeError: One of them is not in the typed dict.
    """
    names = sorted(known.__optional_keys__ | known.__required_keys__)
    for name in arguments:
        if name not in names:
            close = get_close_matches(name, [*names, "image", "incus", "spec"], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"{resource}() has no argument {name!r}{hint}")


def resource_properties(
    resource: type[pulumi.Resource],
    given: Mapping[str, Any],
    resource_name: str,
    type_token: str,
    opts: pulumi.ResourceOptions | None,
) -> dict[str, Any]:
    """Return the properties with which a resource is registered: each output, the arguments, and
    the hidden property.

    Pulumi's SDK sets only those outputs that are among the properties.

    Args:
        resource: The class of the resource, which has an annotation for each output.
        given: The arguments of the resource.
        resource_name: The name of the resource in the stack.
        type_token: The Pulumi type of the resource.
        opts: The resource options.
    """
    return {
        **dict.fromkeys(resource.__annotations__),
        **given,
        **hidden_inputs(given, resource_name, type_token, opts),
    }


def hidden_inputs(
    given: Mapping[str, Any],
    resource_name: str,
    type_token: str,
    opts: pulumi.ResourceOptions | None,
) -> dict[str, Any]:
    """Return the values that only the provider needs, as one property that no preview shows.

    Args:
        given: The arguments of the resource.
        resource_name: The name of the resource in the stack.
        type_token: The Pulumi type of the resource.
        opts: The resource options.
    """
    return {
        property_name(): {
            # The owner in the ownership label, and the name of the resource in the log.
            "owner": own_urn(resource_name, type_token, opts),
            "backend": backend_digest(),
            "secret_inputs": secret_inputs(given),
            "after_others": has_dependencies(given, opts),
            PREVIEWING: pulumi.runtime.is_dry_run(),
            # The diff result of a dynamic provider names no properties, so that the engine cannot
            # apply this option itself.
            "replace_on_changes": list(opts.replace_on_changes or ()) if opts else [],
            "managed_mounts": managed_mounts(given),
            "retain_on_delete": bool(opts and opts.retain_on_delete),
            "create_first": bool(opts and opts.delete_before_replace is False),
        }
    }


def managed_mounts(given: Mapping[str, Any]) -> "pulumi.Output[list[int]]":
    """Return the indices of the mounts whose volume is a `PersistentVolume` of the program.

    For such a volume, the `delete_data` of the `PersistentVolume` decides, not that of the runtime.
    """

    async def find() -> list[int]:
        found = []
        for path, output in _outputs(given.get("mounts"), ()):
            if len(path) == 2 and path[1] == "source":
                made_by = {type(resource).__name__ for resource in await output.resources()}
                found += [int(path[0])] if "PersistentVolume" in made_by else []
        return found

    return pulumi.Output.from_input(find())


def delete_before_replace_default(opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """Return the options with `delete_before_replace`, unless the user gave a value.

    If the user forces a replacement (`--replace`, `pulumi state taint`, `replacement_trigger`), the
    engine does not ask the provider about the order. The old instance occupies its name until it is
    deleted.
    """
    merged = copy.copy(opts) if opts is not None else pulumi.ResourceOptions()
    if merged.delete_before_replace is None:
        merged.delete_before_replace = True
    return merged


def secret_inputs(props: Mapping[str, Any]) -> "pulumi.Output[list[str]]":
    """Return the property paths of the secret parts of `props`, as ``mounts[0].source``."""
    from ..validation.property_tree import path_text

    async def find() -> list[str]:
        return [path_text(path) for path, output in _outputs(props, ()) if await output.is_secret()]

    return pulumi.Output.from_input(find())


def own_urn(
    resource_name: str, type_token: str, opts: pulumi.ResourceOptions | None
) -> pulumi.Input[str]:
    """Return the URN that a resource will have.

    `pulumi.create_urn` returns it too, but as an output that depends on the parent. A component
    depends on its children, so that a child with such an input would depend on itself.

    Args:
        resource_name: The name of the resource in the stack.
        type_token: The Pulumi type of the resource.
        opts: The resource options, which may have a parent.
    """
    parent = opts.parent if opts else None
    if parent is None:
        return pulumi.create_urn(resource_name, type_token)

    async def find() -> str:
        urn = await parent.urn.future()
        prefix, _, _ = str(urn).rpartition("::")
        qualified, _, parent_type = prefix.rpartition("::")
        if parent_type == "pulumi:pulumi:Stack":
            return f"{qualified}::{type_token}::{resource_name}"
        return f"{prefix}${type_token}::{resource_name}"

    return pulumi.Output.from_input(find())


def has_dependencies(
    props: Mapping[str, Any], opts: pulumi.ResourceOptions | None
) -> "pulumi.Output[bool]":
    """Return whether a resource depends on others of the program, which may still create what it
    needs.

    The result is always false in an `up` itself. Pulumi's SDK registers a resource only after its
    dependencies are complete, so that what is missing then stays missing.

    Args:
        props: The inputs of the resource.
        opts: The resource options, which may have `depends_on`.
    """

    async def find() -> bool:
        if not pulumi.runtime.is_dry_run():
            return False
        if opts is not None and opts.depends_on:
            return True
        return any([bool(await output.resources()) for _, output in _outputs(props, ())])

    return pulumi.Output.from_input(find())


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
