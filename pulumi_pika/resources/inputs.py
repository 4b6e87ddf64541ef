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


def secret_inputs(props: Mapping[str, Any]) -> "pulumi.Output[list[str]]":
    """The property paths, as ``mounts[0].source``, of the parts of `props` that are secret."""
    from ..providers.values import path_text

    async def look() -> list[str]:
        return [path_text(path) for path, output in _outputs(props, ()) if await output.is_secret()]

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
