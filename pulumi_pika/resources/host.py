"""`IncusHost`: the Incus server on which resources are created."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from ..choices import PreflightMode
from ..message_templates import CONFLICT, Message
from .argument_types import HostTimeoutsArgs
from .errors import InvalidArguments

_SECRET = ("key", "trust_token")
_NAMING = ("socket", "url", "remote", "trust_token")
_CONNECTION = (
    "certificate",
    "key",
    "server_certificate",
    "server_fingerprint",
    "ca_certificate",
    "insecure",
    "connect_timeout",
    "reply_timeout",
)
_OWN = ("project", "storage_pool", "target", "cluster_group", "preflight")


class IncusHost(pulumi.ProviderResource):
    """An Incus server, or a cluster of them, as a Pulumi provider.

    A resource uses the host with `opts=pulumi.ResourceOptions(provider=host)`, or with `parent` and
    `providers` as with any other provider.

    If no argument names the host, the stack configuration does (`pika:url`, `pika:remote`, ... with
    the names of these arguments). The next sources are the environment (INCUS_REMOTE, INCUS_SOCKET,
    INCUS_DIR) and the usual sockets. A change of url, certificate or key changes only the
    connection; the resources on the host are not changed.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        socket: pulumi.Input[str] | None = None,
        url: pulumi.Input[str] | Sequence[pulumi.Input[str]] | None = None,
        remote: pulumi.Input[str] | None = None,
        certificate: pulumi.Input[str] | None = None,
        key: pulumi.Input[str] | None = None,
        server_certificate: pulumi.Input[str] | None = None,
        server_fingerprint: pulumi.Input[str] | None = None,
        trust_token: pulumi.Input[str] | None = None,
        ca_certificate: pulumi.Input[str] | None = None,
        insecure: pulumi.Input[bool] = False,
        project: pulumi.Input[str] | None = None,
        storage_pool: pulumi.Input[str] | None = None,
        target: pulumi.Input[str] | None = None,
        cluster_group: pulumi.Input[str] | None = None,
        timeouts: HostTimeoutsArgs | None = None,
        preflight: pulumi.Input[PreflightMode] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare a host. This alone sends no request.

        Args:
            resource_name: The name of the resource in the Pulumi stack.
            socket: The path of the unix socket of a server on this machine. Default: the host that
                the stack configuration or the environment names. Change: only the connection;
                another server does not move any instance.
            url: `https://HOST:PORT` (default port: 8443), or several of the same cluster, of which
                one that answers is used. Default: the host that the stack configuration or the
                environment names. Change: only the connection; another server does not move any
                instance.
            remote: The name of a remote of your own `incus` client (`incus remote list`), with its
                addresses, its project, the server's certificate and your client certificate.
                Default: the host that the stack configuration or the environment names. Change:
                only the connection; another server does not move any instance.
            certificate: The client certificate: PEM, or the path of a file. A path keeps it out of
                the stack's state. Default: that of the `remote` or of the `trust_token`. Change:
                only the connection.
            key: The private key of `certificate`, PEM or path; a secret. Default: if `certificate`
                is a path, the file beside it that ends in `.key`. Change: only the connection.
            server_certificate: The server's own certificate, PEM or path. No other certificate is
                accepted. Default: that of the `remote`. Change: only the connection.
            server_fingerprint: The SHA-256 fingerprint of the server's certificate
                (`certificate_fingerprint` in `incus info`). No other certificate is accepted.
                Default: that of the `trust_token`. Change: only the connection.
            trust_token: The token that `incus config trust add NAME` prints; a secret. At the first
                `up` a certificate is created, stored in `~/.config/pulumi_pika` and added to the
                server. The token also has the server's addresses and fingerprint. It may stay in
                the program after it is used. Default: none. Change: only the connection.
            ca_certificate: The certificate of the CA that signed the server's certificate, PEM or
                path; the server's certificate must name the host. Default: the CAs of the system,
                if no certificate or fingerprint of the server is given. Change: only the
                connection.
            insecure: Whether any server certificate is accepted. Default: False. Change: only the
                connection.
            project: The Incus project of runtimes and jobs that do not set one. Default: that of
                the `remote` or of the environment variable INCUS_PROJECT, else `default`. Change:
                used for the next create; existing instances stay.
            storage_pool: The storage pool of runtimes and jobs that do not set one. Default: the
                pool of the root disk in the profiles. Change: used for the next create; existing
                instances stay.
            target: The cluster member on which instances and volumes are created. An instance or
                volume that is moved later is not moved back. Default: Incus chooses. Change: used
                for the next create; existing instances stay.
            cluster_group: In place of `target`, the group of members. Default: Incus chooses.
                Change: used for the next create; existing instances stay.
            timeouts: Time limits for requests in seconds; see `HostTimeoutsArgs` for the defaults.
                The time limits of the work itself are arguments of the other resources. Change: in
                place.
            preflight: `auto` checks the host before anything is created, and in a preview if it can
                be reached; `required` makes it an error in a preview if the host cannot be reached
                or something is missing there; `off` checks nothing. Default: `auto`. Change: in
                place.
            opts: Pulumi's resource options.

        Raises:
            InvalidArguments: More than one of `socket`, `url` and `remote` is set.
        """
        if isinstance(url, Sequence) and not isinstance(url, str):
            url = pulumi.Output.all(*url).apply(",".join)
        given: dict[str, Any] = {
            "socket": socket,
            "url": url,
            "remote": remote,
            "certificate": certificate,
            "key": key,
            "server_certificate": server_certificate,
            "server_fingerprint": server_fingerprint,
            "trust_token": trust_token,
            "ca_certificate": ca_certificate,
            "insecure": None if insecure is False else insecure,
            "project": project,
            "storage_pool": storage_pool,
            "target": target,
            "cluster_group": cluster_group,
            "preflight": preflight,
            "connect_timeout": (timeouts or {}).get("connect"),
            "reply_timeout": (timeouts or {}).get("reply"),
        }
        if sum(given[name] is not None for name in ("socket", "url", "remote")) > 1:
            raise InvalidArguments(
                Message(
                    f"IncusHost {resource_name!r}: socket, url and remote each name a host; "
                    "set only one of them",
                    CONFLICT,
                )
            )
        settings = _with_config({name: v for name, v in given.items() if v is not None})
        for name in _SECRET:
            if name in settings:
                settings[name] = pulumi.Output.secret(settings[name])
        props: Mapping[str, Any] = {
            f"pika:{name}": pulumi.Output.from_input(value).apply(_text)
            if isinstance(value, pulumi.Output)
            else _text(value)
            for name, value in settings.items()
        }
        super().__init__("pulumi-python", resource_name, dict(props), opts)


def _with_config(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments, with values of the stack configuration for those that are not set.

    The arguments of a connection belong together: a host that the program names gets no certificate
    from the stack configuration.
    """
    config = pulumi.Config("pika")
    names = list(_OWN)
    if not any(name in given for name in _NAMING):
        names += [*_NAMING, *_CONNECTION]
    found: dict[str, Any] = {}
    for name in names:
        value = config.get_secret(name) if name in _SECRET else config.get(name)
        if value is not None:
            found[name] = value
    if "target" in given or "cluster_group" in given:
        found.pop("target", None)
        found.pop("cluster_group", None)
    return {**found, **given}


def _text(value: Any) -> str:
    # A provider's configuration consists of strings. Pulumi drops a None, and the host would be the
    # one that the environment names. An empty string is refused instead.
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
