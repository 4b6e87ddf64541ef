"""Pack the values that only the provider needs into one property. `validation.hidden_property` has
the names and unpacks it."""

import functools
from collections.abc import Mapping
from typing import Any

from ..validation.hidden_property import HIDDEN, KEYS, SHOWN


def close_hidden(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties with the hidden values packed into one property."""
    rest = {key: value for key, value in tree.items() if key not in KEYS}
    hidden = {key: tree[key] for key in KEYS if key in tree}
    return {**rest, property_name(): hidden} if hidden else rest


@functools.cache
def property_name() -> str:
    """Return the name of the property with the installed SDK.

    The function tries the name, since the version of the SDK does not tell it. A provider that does
    not get this property knows neither secrets nor owners. Program and provider use the same SDK.
    """
    from google.protobuf import struct_pb2
    from pulumi.runtime.rpc import deserialize_properties

    sent = struct_pb2.Struct()
    sent[HIDDEN] = "x"
    return HIDDEN if HIDDEN in deserialize_properties(sent) else SHOWN
