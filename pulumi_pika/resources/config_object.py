"""The base of the resources that are config objects of Incus."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import pulumi
from pulumi.dynamic import Resource, ResourceProvider

from .property_inputs import (
    delete_before_replace_default,
    hidden_inputs,
    to_plain,
    unknown_arguments,
)

_OUTPUTS: Final = ("name", "plan", "on_delete", "drift", "unmanaged", "adopted")
_SENSITIVE: Final = re.compile(r"passw|passphrase|secret|token|credential|private[._-]?key", re.I)
"""The names of config keys whose values are secrets, such as `bgp.peers.NAME.password`."""
_USER_IN_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#]*@", re.I)


class ConfigObject(Resource):
    """The base of `IncusProfile`, `IncusProject`, `IncusNetwork` and `StoragePool`."""

    name: pulumi.Output[str]
    """The name in Incus, for the arguments of other resources."""
    plan: pulumi.Output[dict[str, Any]]
    """What the program manages of the object, in Incus's terms: `name`, `description`, `config`,
    ...; after a refresh, as the host has it."""
    on_delete: pulumi.Output[str]
    """What a delete of the resource does to the object, as a sentence."""
    drift: pulumi.Output[list[str]]
    """The names of the parts of the plan that the last refresh found changed outside Pulumi, such
    as `config.limits.cpu`. An update corrects them."""
    unmanaged: pulumi.Output[list[str]]
    """The names of the config keys and devices that the object has on the host beside the plan, at
    the last create, update or refresh. They are left as they are."""
    adopted: pulumi.Output[bool]
    """Whether the object existed before the resource adopted it. A delete then releases it."""

    _arguments: ClassVar[Any]
    """The typed dict of the keyword arguments."""
    _provider_class: ClassVar[type[ResourceProvider]]
    """The class of the provider."""
    _more_outputs: ClassVar[Sequence[str]] = ()
    """The names of the outputs that only this kind has."""

    def __init__(
        self,
        resource_name: str,
        arguments: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        """Declare the object.

        Args:
            resource_name: The name of the resource in the Pulumi stack.
            arguments: The keyword arguments of the subclass.
            opts: Pulumi's resource options.

        Raises:
            TypeError: There is no argument of one of these names.
        """
        unknown_arguments(type(self).__name__, arguments, self._arguments)
        named = {"name": resource_name, **_without_none(arguments)}
        given = to_plain(_with_secrets(named))
        token = f"pulumi-python:{self._resource_type_name}"
        props = {
            **dict.fromkeys((*_OUTPUTS, *self._more_outputs)),
            **given,
            **hidden_inputs(given, resource_name, token, opts),
        }
        super().__init__(
            self._provider_class(), resource_name, props, delete_before_replace_default(opts)
        )


def _without_none(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _with_secrets(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments; the values of config keys such as passwords are secrets."""
    found = dict(arguments)
    for name in ("config", "member_config"):
        if name in found:
            found[name] = _secret_config(found[name])
    return found


def _secret_config(config: Any) -> Any:
    if isinstance(config, pulumi.Output):
        return config.apply(lambda known: pulumi.Output.from_input(_secret_config(known)))
    if not isinstance(config, Mapping):
        return config
    return {key: _secret_value(str(key), value) for key, value in config.items()}


def _secret_value(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _secret_config(value)
    in_url = isinstance(value, str) and _USER_IN_URL.match(value)
    if _SENSITIVE.search(key) or in_url:
        return pulumi.Output.secret(value)
    return value
