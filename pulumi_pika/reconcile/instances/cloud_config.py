"""Define the option `cloud_init`, and render it as the user-data and network-config of cloud-init.

The rendered text depends on the values alone: keys have a fixed order. Sources: the module
reference of cloud-init (users, write_files, runcmd, packages) and its network config version 2.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, JsonValue

from ...choices import FileEncoding
from ...message_templates import conflict, invalid_value, must, reserved
from ...planner.spec_models import Part

if TYPE_CHECKING:
    from .runtime_options import OptionProblem, RuntimeOptions

USER_DATA_KEY: Final = "cloud-init.user-data"
NETWORK_KEY: Final = "cloud-init.network-config"

_USER_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PERMISSIONS: Final = re.compile(r"0?[0-7]{3,4}")


class CloudInitUser(Part):
    """One user that cloud-init creates."""

    name: str
    uid: int | None = Field(default=None, ge=0)
    gecos: str | None = None
    groups: list[str] = Field(default_factory=list)
    shell: str | None = None
    sudo: str | None = None
    ssh_authorized_keys: list[str] = Field(default_factory=list)
    hashed_password: str | None = None

    def rendered(self) -> dict[str, Any]:
        """Return the user as cloud-init expects it."""
        return _given(
            name=self.name,
            uid=self.uid,
            gecos=self.gecos,
            groups=self.groups or None,
            shell=self.shell,
            sudo=self.sudo,
            ssh_authorized_keys=self.ssh_authorized_keys or None,
            # cloud-init locks the password of a user unless it is told not to.
            lock_passwd=False if self.hashed_password is not None else None,
            passwd=self.hashed_password,
        )


class CloudInitFile(Part):
    """One file that cloud-init writes at the first boot."""

    path: str
    content: str
    encoding: FileEncoding = "text"
    permissions: str | None = None
    owner: str | None = None
    append: bool = False
    defer: bool = False

    def rendered(self) -> dict[str, Any]:
        """Return the file as cloud-init expects it."""
        return _given(
            path=self.path,
            encoding="b64" if self.encoding == "base64" else None,
            permissions=self.permissions,
            owner=self.owner,
            append=self.append or None,
            defer=self.defer or None,
            content=self.content,
        )


class CloudInitRoute(Part):
    """One static route of an interface."""

    to: str
    via: str

    def rendered(self) -> dict[str, Any]:
        """Return the route as cloud-init expects it."""
        return {"to": self.to, "via": self.via}


class CloudInitInterface(Part):
    """How cloud-init configures one network interface."""

    dhcp4: bool | None = None
    dhcp6: bool | None = None
    addresses: list[str] = Field(default_factory=list)
    routes: list[CloudInitRoute] = Field(default_factory=list)
    nameservers: list[str] = Field(default_factory=list)
    search: list[str] = Field(default_factory=list)
    mtu: int | None = Field(default=None, ge=68, le=65535)

    def rendered(self) -> dict[str, Any]:
        """Return the interface as cloud-init expects it."""
        names = _given(addresses=self.nameservers or None, search=self.search or None)
        return _given(
            dhcp4=self.dhcp4,
            dhcp6=self.dhcp6,
            addresses=self.addresses or None,
            routes=[route.rendered() for route in self.routes] or None,
            nameservers=names or None,
            mtu=self.mtu,
        )


class CloudInit(Part):
    """What cloud-init does in the guest at its first boot."""

    default_user: bool = True
    users: list[CloudInitUser] = Field(default_factory=list)
    ssh_authorized_keys: list[str] = Field(default_factory=list)
    packages: list[str] = Field(default_factory=list)
    package_update: bool | None = None
    package_upgrade: bool | None = None
    files: list[CloudInitFile] = Field(default_factory=list)
    runcmd: list[str] = Field(default_factory=list)
    network: dict[str, CloudInitInterface] | None = None
    extra: dict[str, JsonValue] = Field(default_factory=dict)

    def user_data(self) -> str:
        """Return the user-data."""
        users: list[Any] = [user.rendered() for user in self.users]
        if users and self.default_user:
            # The image's own user exists without this list, and with it only if it is in it.
            users.insert(0, "default")
        tree = _given(
            users=users if users or not self.default_user else None,
            ssh_authorized_keys=self.ssh_authorized_keys or None,
            package_update=self.package_update,
            package_upgrade=self.package_upgrade,
            packages=self.packages or None,
            write_files=[file.rendered() for file in self.files] or None,
            runcmd=self.runcmd or None,
        )
        return "#cloud-config\n" + _yaml({**tree, **dict(sorted(self.extra.items()))})

    def network_config(self) -> str | None:
        """Return the network-config; None if the image's own is used."""
        if self.network is None:
            return None
        ethernets = {name: self.network[name].rendered() for name in sorted(self.network)}
        return _yaml({"version": 2, "ethernets": ethernets})


def cloud_init_config(options: "RuntimeOptions") -> dict[str, str]:
    """Return the config keys of `cloud_init` or `cloud_init_user_data`."""
    if options.cloud_init is None:
        text = options.cloud_init_user_data
        return {} if text is None else {USER_DATA_KEY: text}
    found = {USER_DATA_KEY: options.cloud_init.user_data()}
    if (network := options.cloud_init.network_config()) is not None:
        found[NETWORK_KEY] = network
    return found


_RENDERED: Final = {
    "users": "cloud_init.users",
    "ssh_authorized_keys": "cloud_init.ssh_authorized_keys",
    "packages": "cloud_init.packages",
    "package_update": "cloud_init.package_update",
    "package_upgrade": "cloud_init.package_upgrade",
    "write_files": "cloud_init.files",
    "runcmd": "cloud_init.runcmd",
    "network": "cloud_init.network",
}
"""The keys of a cloud-config that have an argument of their own."""


def find_cloud_init_problems(options: "RuntimeOptions") -> "Iterator[OptionProblem]":
    """Yield what is wrong with the option `cloud_init`, without asking a server."""
    given = options.cloud_init
    if given is None:
        return
    if options.cloud_init_user_data is not None:
        yield ("cloud_init",), conflict("`cloud_init_user_data`", "set one of them")
    for key in cloud_init_config(options):
        if key in options.config:
            yield ("config", key), conflict("`cloud_init`, which sets this key")
    for key in given.extra:
        if argument := _RENDERED.get(key):
            yield ("cloud_init", "extra", key), reserved("pulumi_pika", f"set `{argument}` instead")
    names = [user.name for user in given.users]
    for i, name in enumerate(names):
        if not _USER_NAME.fullmatch(name):
            rule = "use 1-32 small letters, digits, `_` and `-`, no digit or `-` first"
            yield ("cloud_init", "users", i, "name"), invalid_value(name, "user name", rule)
        elif name in names[:i]:
            rule = "name each user once"
            yield ("cloud_init", "users", i, "name"), invalid_value(name, "further user", rule)
    for i, file in enumerate(given.files):
        if not file.path.startswith("/") or not file.path.isprintable():
            rule = "use an absolute path without control characters"
            yield ("cloud_init", "files", i, "path"), invalid_value(file.path, "path", rule)
        if file.permissions is not None and not _PERMISSIONS.fullmatch(file.permissions):
            rule = 'use octal digits, as in "0644"'
            yield (
                ("cloud_init", "files", i, "permissions"),
                invalid_value(file.permissions, "file mode", rule),
            )
    for i, command in enumerate(given.runcmd):
        if not command.strip():
            yield ("cloud_init", "runcmd", i), must("be non-empty")


def _given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None, in their order."""
    return {key: value for key, value in values.items() if value is not None}


def _yaml(tree: Mapping[str, Any]) -> str:
    """Return a mapping as YAML, with its keys in their order, and texts of several lines as they
    are."""
    import yaml  # Imported only if there is something to render.

    class Dumper(yaml.SafeDumper):  # type: ignore[misc, name-defined, unused-ignore]
        """A dumper without references, which not every parser of the servers accepts."""

        def ignore_aliases(self, data: Any) -> bool:
            """Return True: equal values are written twice."""
            return True

    def text(dumper: Any, data: str) -> Any:
        style = "|" if "\n" in data else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Dumper.add_representer(str, text)
    written: str = yaml.dump(
        dict(tree),
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=10_000,
    )
    return written
