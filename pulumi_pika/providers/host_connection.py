"""Keep the host of a provider process, and create clients of it.

Pulumi runs each explicit provider (`IncusHost`) in a process of its own, and the default provider
in another. `configure` receives the settings of the program or the stack configuration, once for
each provider class. This module keeps them, since the classes must have no attributes.
"""

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from ..choices import PreflightMode
from ..incus.client import IncusClient
from ..incus.errors import (
    BadHostSettings,
    CredentialsMissing,
    IncusError,
)
from ..incus.hosts import (
    HostSettings,
    connect,
    empty_setting,
    resolve,
)
from ..incus.trust import (
    decode_token,
    enrol,
    is_trusted,
)
from ..message_templates import Message, invalid_value, wrong_type
from ..reconcile.preflight import HostFacts

PREFIX: Final = "pika:"
"""The prefix of the keys in the stack configuration, and of those that `IncusHost` passes on."""

_SECONDS: Final = ("connect_timeout", "reply_timeout")
_LONGEST: Final = 24 * 3600.0
"""The longest time limit, in seconds."""
_PREFLIGHT: Final[tuple[str, ...]] = get_args(PreflightMode)

_VARIABLES: Final = (
    "INCUS_CONF",
    "INCUS_DIR",
    "INCUS_GLOBAL_CONF",
    "INCUS_PROJECT",
    "INCUS_REMOTE",
    "INCUS_SOCKET",
)

_lock = threading.Lock()
_config: dict[str, Any] = {}
_hosts: dict[tuple[Any, ...], "Host"] = {}


@dataclass(slots=True)
class Host:
    """The host, whether it trusts this client, and cached facts about it."""

    settings: HostSettings
    client: IncusClient
    enrolled: bool
    facts: HostFacts
    away_until: float = 0.0
    """The time until which a preview sends no request, since the host did not answer (monotonic
    clock)."""
    warned: set[str] = field(default_factory=set)
    """The keys of messages that were already shown."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_trusted(self) -> bool:
        """Return whether the server trusts this client now. The trust token is not used."""
        with self.lock:
            self.enrolled = self.enrolled or is_trusted(self.client)
            return self.enrolled

    def warn_once(self, key: str) -> bool:
        """Return whether a message is shown for the first time."""
        with self.lock:
            if key in self.warned:
                return False
            self.warned.add(key)
            return True

    def enrol(self) -> None:
        """Use the trust token, if the server does not trust this client yet.

        Raises:
            Unauthorised: The token is no longer valid.
            IncusUnreachable: The server does not answer.
        """
        with self.lock:
            if not self.enrolled:
                enrol(self.client, decode_token(self.settings.trust_token or ""))
                self.enrolled = True


def configure(config: Any) -> None:
    """Store the settings of the program or the stack configuration.

    Args:
        config: A `pulumi.dynamic.Config`, or a mapping of full keys (``pika:url``).
    """
    given = {name: config.get(PREFIX + name) for name in HostSettings.__dataclass_fields__}
    with _lock:
        _config.clear()
        _config.update({name: value for name, value in given.items() if value is not None})


def host_settings(config: Mapping[str, Any]) -> HostSettings:
    """Return the settings of a configuration, whose values are strings.

    Raises:
        BadHostSettings: One of the values is not valid.
    """
    values: dict[str, Any] = {}
    for name, value in config.items():
        text = value.strip() if isinstance(value, str) else value
        if text == "":
            raise BadHostSettings(f"{PREFIX}{empty_setting(name)}")
        if name == "insecure":
            values[name] = _boolean(text)
        elif name in _SECONDS:
            values[name] = _seconds(name, text)
        elif not isinstance(text, str):
            raise _bad_setting(name, wrong_type("a string"))
        else:
            values[name] = text
    if values.get("preflight", "auto") not in _PREFLIGHT:
        modes = ", ".join(_PREFLIGHT)
        rule = f"use one of {modes}"
        raise _bad_setting("preflight", invalid_value(values["preflight"], "mode", rule))
    return HostSettings(**values)


def requested_preflight() -> str:
    """Return ``auto``, ``required`` or ``off``, even if the host itself is unknown."""
    with _lock:
        mode = str(_config.get("preflight") or "auto").strip()
    return mode if mode in _PREFLIGHT else "auto"


def current_host() -> Host:
    """Return the host of this process.

    Raises:
        BadHostSettings: The settings of the host are not valid.
        IncusUnreachable: No host is named, and none is found.
    """
    variables = tuple(os.environ.get(name) for name in _VARIABLES)
    with _lock:
        # Resolving the host may read the configuration of the `incus` client.
        key = (*sorted(_config.items()), *variables)
        found = _hosts.get(key)
        if found is None:
            settings = resolve(host_settings(_config))
            client = connect(settings)
            enrolled = settings.trust_token is None
            found = _hosts[key] = Host(settings, client, enrolled, HostFacts(client))
        return found


def settings_problem() -> str:
    """Return the problem of the host's settings, or an empty string. No request is sent.

    Settings with a problem can never work on this machine, so that no resource of the host is
    checked. A missing certificate file is a problem unless `preflight` is `off`: a preview may run
    on a machine without the credentials.
    """
    try:
        current_host()
    except CredentialsMissing as error:
        return "" if requested_preflight() == "off" else str(error)
    except BadHostSettings as error:
        return str(error)
    except IncusError:
        pass  # There is no daemon here. The first request to the host reports it.
    return ""


def default_place() -> tuple[str, str]:
    """Return the default project and the default storage pool of new instances.

    If the host names none, the project is `default` and the pool is empty.

    The defaults are known even if the host is unreachable.

    Raises:
        BadHostSettings: The settings are not valid.
    """
    try:
        settings = current_host().settings
    except IncusError:
        with _lock:
            settings = host_settings(_config)
        project = settings.project or os.environ.get("INCUS_PROJECT", "")
        return project or "default", settings.storage_pool
    return settings.project or "default", settings.storage_pool


def host_digest() -> str:
    """Return a digest of the connection to the host and of the places for new resources; empty
    without a host.

    Only a change of the arguments of an `IncusHost` changes the digest. The digest has no secrets.
    It is the same for other names of the same host, by a remote or the environment.
    """
    try:
        here = current_host()
    except IncusError:
        return ""
    settings = here.settings
    trust = (
        settings.server_certificate,
        settings.server_fingerprint,
        settings.ca_certificate,
        str(settings.insecure),
    )
    reached = (settings.socket, settings.url, *trust, here.client.transport.client_fingerprint)
    return hashlib.sha256(repr((*reached, settings.placement)).encode()).hexdigest()[:16]


def client_for(project: str) -> IncusClient:
    """Return the client of the host in an Incus project; use the trust token at the first contact.

    Raises:
        BadHostSettings, IncusUnreachable: See `current_host`.
        Unauthorised: The trust token is no longer valid.
    """
    found = current_host()
    if not found.enrolled:
        found.enrol()
    return found.client.in_project(project)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise _bad_setting("insecure", invalid_value(value, "boolean", "use true or false"))


def _seconds(name: str, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= _LONGEST:
        rule = f"use a number of seconds above 0 and at most {_LONGEST:g}"
        raise _bad_setting(name, invalid_value(value, "time limit", rule))
    return seconds


def _bad_setting(name: str, problem: Message) -> BadHostSettings:
    return BadHostSettings(Message(f"{PREFIX}{name}: {problem}", problem.code))
