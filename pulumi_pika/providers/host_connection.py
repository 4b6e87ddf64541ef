"""The host of a provider process, and the clients of it.

Pulumi runs each explicit provider (`IncusHost`) in a process of its own, and the default one in
another; what the program or the stack config says of the host comes in `configure`, once for each
provider class. The classes are to have no attributes, so it is kept here.
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
from ..reconcile.preflight import HostFacts
from ..validation.hidden_property import HOST

PREFIX: Final = "pika:"
"""Of the keys in the stack config, and of those that `IncusHost` hands over."""

_SECONDS: Final = ("connect_timeout", "reply_timeout")
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
    """The host, whether it knows us, and what was found out about it."""

    settings: HostSettings
    client: IncusClient
    enrolled: bool
    facts: HostFacts
    away_until: float = 0.0
    """Until when it is not asked again in a preview, as it did not answer (monotonic)."""
    said: set[str] = field(default_factory=set)
    """What was said once already."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def knows_us(self) -> bool:
        """Whether the server trusts this client by now; the trust token is left as it is."""
        with self.lock:
            self.enrolled = self.enrolled or is_trusted(self.client)
            return self.enrolled

    def first(self, what: str) -> bool:
        """Whether this is to be said for the first time."""
        with self.lock:
            if what in self.said:
                return False
            self.said.add(what)
            return True

    def enrol(self) -> None:
        """Uses the trust token, where one is given and the server does not know us yet.

        Raises:
            Unauthorised: the token is not good any more.
            IncusUnreachable: the server does not answer.
        """
        with self.lock:
            if not self.enrolled:
                enrol(self.client, decode_token(self.settings.trust_token or ""))
                self.enrolled = True


def configure(config: Any) -> None:
    """Takes what the program or the stack config says.

    Args:
        config: a `pulumi.dynamic.Config`, or a mapping of full keys (``pika:url``).
    """
    given = {name: config.get(PREFIX + name) for name in HostSettings.__dataclass_fields__}
    with _lock:
        _config.clear()
        _config.update({name: value for name, value in given.items() if value is not None})


def host_settings(config: Mapping[str, Any]) -> HostSettings:
    """The settings in a config, whose values are texts.

    Raises:
        BadHostSettings: one of them cannot be.
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
            raise BadHostSettings(f"{PREFIX}{name} is a {type(value).__name__}; it is to be text")
        else:
            values[name] = text
    if values.get("preflight", "auto") not in _PREFLIGHT:
        raise BadHostSettings(
            f"{PREFIX}preflight is {values['preflight']!r}; it is one of {', '.join(_PREFLIGHT)}"
        )
    return HostSettings(**values)


def requested_preflight() -> str:
    """``auto``, ``required`` or ``off``, also where the host itself cannot be told."""
    with _lock:
        mode = str(_config.get("preflight") or "auto").strip()
    return mode if mode in _PREFLIGHT else "auto"


def current_host() -> Host:
    """The host of this process.

    Raises:
        BadHostSettings: what was said of it cannot be so.
        IncusUnreachable: no host is named and none is found.
    """
    said = tuple(os.environ.get(name) for name in _VARIABLES)
    with _lock:
        # To resolve it may mean to read the config of the `incus` client.
        key = (*sorted(_config.items()), *said)
        found = _hosts.get(key)
        if found is None:
            settings = resolve(host_settings(_config))
            client = connect(settings)
            enrolled = settings.trust_token is None
            found = _hosts[key] = Host(settings, client, enrolled, HostFacts(client))
        return found


def settings_problem() -> str:
    """Return what is wrong with the settings of the host, or an empty string. Asks no server.

    Such settings can never work on this machine, so that no resource of the host is checked with
    them. A file of certificates that is missing here is a problem unless `preflight` is `off`: a
    preview may run where the credentials are not.
    """
    try:
        current_host()
    except CredentialsMissing as error:
        return "" if requested_preflight() == "off" else str(error)
    except BadHostSettings as error:
        return str(error)
    except IncusError:
        pass  # No daemon here. It is said where the host is asked.
    return ""


def default_place() -> tuple[str, str]:
    """Return the project and the storage pool of new instances that name none.

    The pool is empty if the host names none; the project is `default` then.

    They are known even if the host cannot be reached from here.

    Raises:
        BadHostSettings: the settings are wrong.
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
    """Return a digest of how the host is reached and where on it things go; empty without a host.

    A change of the arguments of an `IncusHost` shows in it, and nothing else does: it has no
    secrets, and is the same for another spelling of the same host by a remote or the environment.
    """
    try:
        here = current_host()
    except IncusError:
        return ""
    said = here.settings
    trust = (
        said.server_certificate,
        said.server_fingerprint,
        said.ca_certificate,
        str(said.insecure),
    )
    reached = (said.socket, said.url, *trust, here.client.transport.client_fingerprint)
    return hashlib.sha256(repr((*reached, said.placement)).encode()).hexdigest()[:16]


def with_host_digest(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of a refresh with the host that was just asked.

    Those of a state that has no such digest stay without one: a refresh alone changes nothing.
    """
    return {**inputs, HOST: host_digest() or inputs[HOST]} if HOST in inputs else inputs


def client_for(project: str) -> IncusClient:
    """The client of the host, in an Incus project; at first contact, the trust token is used.

    Raises:
        BadHostSettings, IncusUnreachable: see `host`.
        Unauthorised: the trust token is not good any more.
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
    raise BadHostSettings(f"{PREFIX}insecure is {value!r}; it is true or false")


def _seconds(name: str, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= 24 * 3600:
        raise BadHostSettings(f"{PREFIX}{name} is {value!r}; it is a number of seconds above 0")
    return seconds
