"""Detect values of an instance that look like secrets, and define their placeholder.

In doubt, a value counts as secret: a command then puts it into the stack's secret configuration,
and nothing is lost. A secret in a program would stay in its repository for ever.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

_NAMED_ANYWHERE: Final = re.compile(
    r"pass|pwd|secret|token|key|cred|auth(?!or(?!i))|priv|dsn|cookie|jwt|bearer|webhook"
    r"|conn(ection)?[^a-z0-9]?str|signature|signing|encrypt|licen[cs]e|kubeconfig|netrc",
    re.IGNORECASE,
)
"""Parts of a key's name; AUTHOR is not among them."""
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
"""Signs of a secret within a value of several words."""
_IN_VALUE: Final = re.compile(
    # A user, a password or a token in a URL.
    r"[a-z][a-z0-9+.-]*://[^/\s?#]*@"
    # KEY=VALUE and KEY: VALUE, as in a DSN, a script, a query of a URL or a header.
    r"|(?:pass|pw|secret|token|key|auth|cred|cookie|sig|dsn|psk)[a-z_-]*[\"']?\s*[=:]\s*\S"
    r"|\bwpa-(?:psk|passphrase|password)\s+\S"  # as in interfaces(5)
    # USER:PASSWORD@HOST and USER/PASSWORD@HOST without a scheme, as of a proxy or of Oracle.
    r"|(?<![^\s\"'=,;(])(?!mailto:)[^\s:/@\"']*:(?!//)[^\s@]+@/{0,2}[\w\[]"
    r"|(?<![^\s\"'=,;(])[^\s:/@\"']+/[^\s/@]+@(?!sha256:)/{0,2}[\w\[]"
    # The URL of a webhook is itself a secret: its path has the token (Slack, Discord, Teams).
    r"|\bhooks?\.[a-z0-9.-]+(?::\d+)?/\S"
    r"|\bwebhook\.[a-z0-9.-]+/\S"
    r"|/(?:[a-z]+-)?web-?hooks?[a-z0-9]*/\S"
    r"|/bot\d+:[A-Za-z0-9_-]{8,}"  # Telegram
    r"|-----BEGIN "
    r"|\beyJ[A-Za-z0-9_-]{8,}"  # a JSON Web Token, or a trust token of Incus
    r"|\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|xapp-|sk-|[sr]k_(?:live|test)_|AKIA|ASIA|AIza|npm_"
    r"|pypi-|dckr_pat_|hv[bs]\.|pul-|SG\.|dop_v1_|shpat_|AGE-SECRET-KEY-)[A-Za-z0-9_-]{8,}"
    r"|\$(?:1|2[abxy]|5|6|7|y|gy|argon2[a-z]*|apr1)\$",  # a hash of a password
    re.IGNORECASE,
)
_RANDOM: Final = re.compile(
    r"(?=[A-Za-z+]*[0-9])(?=[0-9+]*[A-Za-z])[A-Za-z0-9+]{20,}"
    # Base64 in both alphabets. A path may also have slashes; few have all three kinds of
    # characters, and no dot.
    r"|(?<![\w+/.=-])(?=[^\s0-9]*[0-9])(?=[^\sa-z]*[a-z])(?=[^\sA-Z]*[A-Z])"
    r"[A-Za-z0-9+/_-]{20,}={0,2}(?![\w+/.-])"
    r"|(?<![\w+/.=-])[A-Za-z0-9+/_-]{14,}={1,2}(?![\w+/.=-])"
)
"""Letters and digits in one long word."""

_USERS: Final = ("environment.", "user.", "smbios11.")
"""The prefixes of config keys that users may invent."""
_ALWAYS: Final = ("systemd.credential",)
_GUEST_DATA: Final = (
    "cloud-init.user-data",
    "cloud-init.vendor-data",
    "user.user-data",
    "user.vendor-data",
    "user.meta-data",
)
"""The keys that cloud-init reads: their present names in Incus, and those with `user.`."""
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
"""Keys of cloud-config whose values contain no secrets.

Scripts, files and users may contain some.
"""


@dataclass(frozen=True, slots=True)
class Secret:
    """Stand for a value that is to come from the stack's secret configuration.

    Attributes:
        instance: the instance's name.
        key: the instance's config key, the key of the device, or `description`.
        device: the device that has the key; empty for the instance's own.
    """

    instance: str
    key: str
    device: str = ""


def looks_secret(key: str, value: str) -> bool:
    """Return whether a config key of an instance, or its value, looks secret.

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
    # All others are Incus's own, such as `cloud-init.network-config`, `raw.lxc` or
    # `oci.entrypoint`.
    several = len(value.split()) > 1
    return holds_secret(value) or (several and _SPOKEN_OF.search(value) is not None)


def text_looks_secret(text: str) -> bool:
    """Return whether a text of a user, such as a description, looks as if it contained a secret."""
    several = len(text.split()) > 1
    return (
        holds_secret(text)
        or _RANDOM.search(text) is not None
        or (several and _SPOKEN_OF.search(text) is not None)
    )


def holds_secret(value: str) -> bool:
    """Return whether any text contains a secret in one of the usual forms."""
    return _IN_VALUE.search(value) is not None


def _is_harmless(text: str) -> bool:
    """Return whether data for cloud-init contains only parts that cannot hold a secret."""
    import yaml  # imported only if an instance has such data

    # Merge keys can expand a small text into a huge one, and no such data needs them.
    if text.lstrip().startswith("#!") or "<<" in text:
        return False
    try:
        tree: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return False
    if tree is None:
        return True  # Nothing but comments.
    return isinstance(tree, dict) and all(key in _HARMLESS for key in tree)
