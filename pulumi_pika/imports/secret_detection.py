"""Which values of an instance look like secrets, and what stands in their place.

If in doubt a value is one: then a command puts it into the stack's secret config, and nothing is
lost. A secret in a program is in its repository for ever.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

_NAMED_ANYWHERE: Final = re.compile(
    r"pass|pwd|secret|token|key|cred|auth(?!or(?!i))|priv|dsn|cookie|jwt|bearer|webhook"
    r"|conn(ection)?[^a-z0-9]?str|signature|signing|encrypt|licen[cs]e|kubeconfig|netrc",
    re.IGNORECASE,
)
"""In a key's name; AUTHOR is none."""
_NAMED_AS_WORD: Final = re.compile(
    r"(?:^|[^a-z])(?:[a-z]*pw|pin|psk|sig|sas|otp|totp|hash|hmac|salt|seed|session|login|shadow)"
    r"(?:$|[^a-z])",
    re.IGNORECASE,
)
_SPOKEN_OF: Final = re.compile(
    r"passw|passphrase|chpasswd|secret|token|credential|authorization|bearer|cookie"
    r"|(?:api|private|access)[-_ ]?key|\b(?:psk|pwd)\b",
    re.IGNORECASE,
)
"""In a value of several words."""
_IN_VALUE: Final = re.compile(
    # A user, a password or a token in a URL.
    r"[a-z][a-z0-9+.-]*://[^/\s?#]*@"
    # KEY=VALUE and KEY: VALUE, as in a DSN, a script, a query of a URL or a header.
    r"|(?:pass|pw|secret|token|key|auth|cred|cookie|sig|dsn)[a-z_-]*[\"']?\s*[=:]\s*\S"
    r"|-----BEGIN "
    r"|\beyJ[A-Za-z0-9_-]{8,}"  # a JSON Web Token, or a trust token of Incus
    r"|\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|xapp-|sk-|[sr]k_(?:live|test)_|AKIA|ASIA|AIza|npm_"
    r"|pypi-|dckr_pat_|hv[bs]\.|pul-|SG\.|dop_v1_|shpat_|AGE-SECRET-KEY-)[A-Za-z0-9_-]{8,}"
    r"|\$(?:1|2[abxy]|5|6|7|y|gy|argon2[a-z]*|apr1)\$",  # a hash of a password
    re.IGNORECASE,
)
_RANDOM: Final = re.compile(r"(?=[A-Za-z+]*[0-9])(?=[0-9+]*[A-Za-z])[A-Za-z0-9+]{20,}")
"""Letters and digits in one long word."""

_USERS: Final = ("environment.", "user.", "smbios11.")
"""Where the keys of instances are of the user's making."""
_ALWAYS: Final = ("systemd.credential",)
_GUEST_DATA: Final = (
    "cloud-init.user-data",
    "cloud-init.vendor-data",
    "user.user-data",
    "user.vendor-data",
    "user.meta-data",
)
"""What cloud-init reads, by its names in Incus: the ones of now, and those with `user.` before."""
_HARMLESS: Final = frozenset(
    {
        "apt_preserve_sources_list",
        "byobu_by_default",
        "disable_root",
        "final_message",
        "fqdn",
        "growpart",
        "hostname",
        "keyboard",
        "local-hostname",
        "instance-id",
        "locale",
        "manage_etc_hosts",
        "ntp",
        "package_reboot_if_required",
        "package_update",
        "package_upgrade",
        "packages",
        "prefer_fqdn_over_hostname",
        "preserve_hostname",
        "resize_rootfs",
        "ssh_pwauth",
        "swap",
        "timezone",
    }
)
"""Keys of cloud-config whose values hold no secrets. Scripts, files and users may hold any."""


@dataclass(frozen=True, slots=True)
class Secret:
    """In place of a value that is to come from the stack's secret config.

    Attributes:
        instance: the instance's name.
        key: the instance's config key, the key of the device, or `description`.
        device: the device that has the key; empty for the instance's own.
    """

    instance: str
    key: str
    device: str = ""


def looks_secret(key: str, value: str) -> bool:
    """Return whether a config key of an instance, or its value, looks as if the value were secret.

    Args:
        key: the config key.
        value: its value.
    """
    if key.startswith(_ALWAYS):
        return True
    if key in _GUEST_DATA and not _is_harmless(value):
        return True
    if key.startswith(_USERS):
        name = key.partition(".")[2]
        if _NAMED_ANYWHERE.search(name) or _NAMED_AS_WORD.search(name) or _RANDOM.search(value):
            return True
    # All others are Incus's own, as `cloud-init.network-config`, `raw.lxc` or `oci.entrypoint`.
    several = len(value.split()) > 1
    return holds_secret(value) or (several and _SPOKEN_OF.search(value) is not None)


def holds_secret(value: str) -> bool:
    """Return whether a text, whatever it is of, has a secret in one of the usual shapes."""
    return _IN_VALUE.search(value) is not None


def _is_harmless(text: str) -> bool:
    """Return whether data for cloud-init has nothing but what cannot hold a secret."""
    import yaml  # only where an instance has such data

    # A merge can make much of little, and no such data needs one.
    if text.lstrip().startswith("#!") or "<<" in text:
        return False
    try:
        tree: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return False
    if tree is None:
        return True  # Nothing but comments.
    return isinstance(tree, dict) and all(key in _HARMLESS for key in tree)
