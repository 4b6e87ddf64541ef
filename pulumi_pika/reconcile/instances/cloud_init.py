"""Find cloud-init config values that newer servers refuse and older servers accept.

Incus parses the keys as YAML before it creates or changes an instance (shared/validate, IsYAML and
IsCloudInitUserData). Since 7.0 it uses a parser that requires a document and unique keys.
"""

from collections.abc import Iterator
from typing import Final

from ...message_templates import Message, must
from .runtime_options import USER_DATA_KEY, RuntimeOptions

STRICT_EXTENSION: Final = "storage_volume_nbd"
"""The first API extension after the change of the parser, which has no extension of its own."""
_HEADER: Final = "#cloud-config\n"
_KEYS: Final = (USER_DATA_KEY, "cloud-init.vendor-data")
_NETWORK_KEY: Final = "cloud-init.network-config"


def find_refused_yaml(options: RuntimeOptions) -> Iterator[tuple[tuple[str, ...], Message]]:
    """Yield the property and the reason of each value that a strict server refuses.

    YAML that no server accepts is not among them: Incus itself reports what is wrong with it.
    """
    given: list[tuple[tuple[str, ...], str | None]] = [
        (("config", key), options.config.get(key)) for key in (*_KEYS, _NETWORK_KEY)
    ]
    given.append((("cloud_init_user_data",), options.cloud_init_user_data))
    for path, value in given:
        if not value:
            continue
        if path[-1] == _NETWORK_KEY:
            text = value
        elif value.startswith(_HEADER):
            text = value.removeprefix(_HEADER)
        else:
            continue  # A script, or another format that Incus does not parse.
        if reason := _refusal(text):
            yield path, reason


def _refusal(text: str) -> Message | None:
    """Return why a strict server refuses a YAML string, or None."""
    import yaml  # imported only if there is a value to check

    try:
        node = next(iter(yaml.compose_all(text, Loader=yaml.SafeLoader)), None)
    except (yaml.YAMLError, RecursionError):
        return None
    if node is None:
        return must("have content other than comments: write `{}` below them, or remove it")
    if not isinstance(node, yaml.MappingNode):
        return None
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                return must(
                    f"have each key once (line {key.start_mark.line + 1} of the YAML repeats one)"
                )
            seen.add(key.value)
    return None
