"""Write the program that declares the instances that were read."""

import keyword
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..text_safety import visible
from .pyformat import (
    Call,
    argument,
    quoted,
)
from .reader import Imported
from .secret_detection import Secret

_TAKEN: Final = ("IncusHost", "IncusRuntime", "config", "host", "pulumi")


@dataclass(frozen=True, slots=True)
class Origin:
    """Describe where the instances were read.

    Attributes:
        project: their Incus project.
        host: the host, in human-readable form.
        remote: the remote of the `incus` client that the user named; empty for none.
        socket: the socket that the user named; empty for none.
        known_as: the remote by which the `incus` client names the host, if the user named none.
    """

    project: str
    host: str
    remote: str = ""
    socket: str = ""
    known_as: str = "local"


def write_program(found: Sequence[Imported], origin: Origin) -> str:
    """Return the program, in Python.

    Args:
        found: the instances.
        origin: where they were read.
    """
    found = sorted(found, key=lambda imported: imported.name)
    declared = [imported for imported in found if not imported.skip_reasons]
    secrets = _secret_names(declared)
    blocks = [
        '"""Incus instances that the first `pulumi up` adopts as they are.\n\n'
        'Written by `python -m pulumi_pika import`."""',
        _imports(declared, origin, with_config=bool(secrets)),
        *_secrets(secrets, origin),
        *_host(declared, origin),
    ]
    names: set[str] = set(_TAKEN)
    blocks += [_runtime(imported, origin, secrets, names) for imported in declared]
    blocks += [_skipped(imported) for imported in found if imported.skip_reasons]
    if not found:
        blocks.append("# The project has no instances.")
    return "\n\n".join(block for block in blocks if block) + "\n"


def secret_commands(found: Iterable[Imported], origin: Origin) -> list[str]:
    """Return the commands that copy the secret values into the stack configuration.

    Args:
        found: the instances.
        origin: where they were read.
    """
    declared = sorted((i for i in found if not i.skip_reasons), key=lambda imported: imported.name)
    return _commands(_secret_names(declared), origin)


def _imports(declared: Sequence[Imported], origin: Origin, *, with_config: bool) -> str:
    named = bool(declared) and bool(origin.remote or origin.socket)
    lines = ["import pulumi"] if with_config or named else []
    names = (["IncusHost"] if named else []) + (["IncusRuntime"] if declared else [])
    if names:
        lines.append(f"from pulumi_pika import {', '.join(names)}")
    return "\n".join(lines)


def _secrets(secrets: dict[Secret, str], origin: Origin) -> list[str]:
    if not secrets:
        return []
    lines = [
        "# Values that look secret are in the stack configuration. Before the first `pulumi up`,",
        "# run these commands:",
        *(_comment(f"  {command}") for command in _commands(secrets, origin)),
        "config = pulumi.Config()",
    ]
    return ["\n".join(lines)]


def _commands(secrets: dict[Secret, str], origin: Origin) -> list[str]:
    # Through a pipe: neither a shell's history nor a list of processes shows the value.
    return [
        f"{_get(secret, origin)} | pulumi config set --secret {name}"
        for secret, name in secrets.items()
    ]


def _get(secret: Secret, origin: Origin) -> str:
    """Return the command that shows the value on the host that it was read from."""
    instance = f"{origin.remote or origin.known_as}:{secret.instance}"
    words = ["incus", "config", *(["device"] if secret.device else []), "get"]
    words += ["--project", origin.project]
    if secret.device:
        words += [instance, secret.device, secret.key]
    else:
        words += [*(["--property"] if secret.key == "description" else []), instance, secret.key]
    return (f"INCUS_SOCKET={shlex.quote(origin.socket)} " if origin.socket else "") + shlex.join(
        words
    )


def _secret_names(declared: Sequence[Imported]) -> dict[Secret, str]:
    """Return the names in the stack configuration, each of them unique."""
    names: dict[Secret, str] = {}
    for imported in declared:
        for secret in _secrets_of(imported.arguments):
            parts = filter(None, (secret.instance, secret.device, secret.key))
            wanted = re.sub(r"[^A-Za-z0-9_-]", "-", "-".join(parts))
            names[secret] = _unique(wanted, set(names.values()))
    return names


def _secrets_of(tree: Any) -> Iterable[Secret]:
    if isinstance(tree, Secret):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from _secrets_of(value)


def _host(declared: Sequence[Imported], origin: Origin) -> list[str]:
    if not declared:
        return []
    if origin.remote:
        return [f'host = IncusHost("host", remote={quoted(origin.remote)})']
    if origin.socket:
        return [f'host = IncusHost("host", socket={quoted(origin.socket)})']
    return [
        "# The environment names the host. When this program was written, it was\n"
        + _comment(f"{origin.host}.")
    ]


def _runtime(
    imported: Imported, origin: Origin, secrets: dict[Secret, str], names: set[str]
) -> str:
    variable = _unique(_variable(imported.name), names)
    names.add(variable)
    lines = [_comment(note) for note in imported.notes]
    lines += [f"{variable} = IncusRuntime(", f"    {quoted(imported.name)},"]
    lines += [
        argument(name, _with_config(value, secrets)) for name, value in imported.arguments.items()
    ]
    if origin.remote or origin.socket:
        lines.append(argument("opts", Call("pulumi.ResourceOptions", "host", "provider")))
    return "\n".join([*lines, ")"])


def _with_config(value: Any, secrets: dict[Secret, str]) -> Any:
    if isinstance(value, Secret):
        return Call("config.require_secret", secrets[value])
    if isinstance(value, dict):
        return {key: _with_config(item, secrets) for key, item in value.items()}
    return value


def _skipped(imported: Imported) -> str:
    reasons = [_comment(f"  {reason}") for reason in imported.skip_reasons]
    return "\n".join([_comment(f"Skipped: {imported.name}"), *reasons])


def _comment(text: str) -> str:
    return f"# {visible(text)}".rstrip()


def _variable(name: str) -> str:
    text = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not text or text[0].isdigit():
        text = f"instance_{text}"
    return f"{text}_" if keyword.iskeyword(text) or keyword.issoftkeyword(text) else text


def _unique(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name
