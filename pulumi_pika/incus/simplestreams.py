"""Look up an image at a simplestreams server, as Incus does it (Incus shared/simplestreams).

The Incus server copies the image by itself. It is looked up here so that a preview knows the
fingerprint, and a refresh knows whether there is a newer image.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from .errors import IncusError, IncusUnreachable
from .reply_bounds import ReplyBounds
from .tls import ServerTrust, TlsAdapter, certificate_fingerprint, client_context

_LONGEST: Final = 64 * 1024 * 1024
"""The limit for the length of an index, in bytes; that of images.linuxcontainers.org has 5 MB."""
_PIECE: Final = 256 * 1024
_MOST_REDIRECTS: Final = 3
_CONNECT_WITHIN: Final = 10.0
_TYPES: Final = {
    # The root file systems by preference, with the type of instance and the fields that have the
    # fingerprint of metadata and root file system together.
    "squashfs": ("container", ("combined_squashfs_sha256",)),
    "root.tar.xz": ("container", ("combined_rootxz_sha256", "combined_sha256")),
    "disk-kvm.img": ("virtual-machine", ("combined_disk-kvm-img_sha256",)),
    "uefi1.img": ("virtual-machine", ("combined_uefi1-img_sha256",)),
    "disk1.img": ("virtual-machine", ("combined_disk1-img_sha256",)),
}
_ARCHITECTURES: Final = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "armhf": "armv7l",
    "armel": "armv6l",
    "i386": "i686",
    "i586": "i686",
    "powerpc": "ppc",
    "powerpc64": "ppc64",
    "ppc64el": "ppc64le",
    "loong64": "loongarch64",
}
"""Other names of architectures (Incus shared/osarch)."""


class ImageServerError(IncusError):
    """Signal that an image server cannot be read, or does not have the image."""


class ImageServerUnreachable(ImageServerError):
    """Signal that an image server does not answer this machine; the Incus server may reach it."""


@dataclass(frozen=True, slots=True)
class ServedImage:
    """Describe an image of a server.

    Attributes:
        fingerprint: its fingerprint.
        architecture: its architecture, in Incus's spelling.
        instance_type: `container` or `virtual-machine`.
        aliases: its names.
        serial: the version of its product, as `20260828_05:24`.
        order: where it is among images with the same alias; the first one counts.
    """

    fingerprint: str
    architecture: str
    instance_type: str
    aliases: tuple[str, ...]
    serial: str
    order: tuple[Any, ...]


def architecture_name(name: str) -> str:
    """Return Incus's name of an architecture: `x86_64` for `amd64`."""
    return _ARCHITECTURES.get(name, name)


def choose_image(
    images: Sequence[ServedImage],
    image: str,
    *,
    server: str,
    instance_type: str,
    architecture: str,
) -> ServedImage:
    """Return the newest image of an alias, or the image of a fingerprint.

    Args:
        images: the images of the server.
        image: the alias, such as `debian/12/cloud`, or a fingerprint or its beginning.
        server: the URL of the server, for messages.
        instance_type: `container` or `virtual-machine`.
        architecture: the architecture, in Incus's spelling.

    Raises:
        ImageServerError: the server does not have the image.
    """
    same = [it for it in images if it.instance_type == instance_type]
    named = [it for it in same if image in it.aliases and it.architecture == architecture]
    # `debian/12/arm64`: an alias with the architecture, which the server's product spells.
    base, _, last = image.rpartition("/")
    named += [
        it
        for it in same
        if base in it.aliases and it.architecture == architecture_name(last) and last
    ]
    if named:
        return min(named, key=lambda it: it.order)
    by_fingerprint = [it for it in images if it.fingerprint.startswith(image.lower())]
    if len(image) >= 12 and len({it.fingerprint for it in by_fingerprint}) == 1:
        return by_fingerprint[0]
    others = sorted(
        {
            f"{it.instance_type} for {it.architecture}"
            for it in images
            if image in it.aliases or (base and base in it.aliases)
        }
    )
    raise ImageServerError(
        f"the image server {server} has no image {image} of the type {instance_type} for "
        f"{architecture}" + (f"; it has it as {', '.join(others)}" if others else "")
    )


def list_streamed_images(
    server: str, *, timeout: float, certificate: str = ""
) -> list[ServedImage]:
    """Return all images of a server.

    Args:
        server: the URL of the server.
        certificate: the server's certificate as PEM; empty if CAs sign it.
        timeout: how long the look-up may take, in seconds.

    Raises:
        ImageServerUnreachable: the server does not answer.
        ImageServerError: its answer is not valid.
    """
    until = time.monotonic() + timeout
    base = server.rstrip("/") + "/"
    index = _fetch(urljoin(base, "streams/v1/index.json"), until, certificate)
    found: list[ServedImage] = []
    for entry in _objects(index.get("index")):
        if entry.get("datatype") == "image-downloads" and entry.get("products"):
            products = _fetch(urljoin(base, str(entry.get("path"))), until, certificate)
            for product in _objects(products.get("products")):
                found += _images_of(product)
    return found


def _images_of(product: dict[str, Any]) -> Iterator[ServedImage]:
    architecture = architecture_name(str(product.get("arch") or ""))
    aliases = tuple(name.strip() for name in str(product.get("aliases") or "").split(","))
    group = [str(product.get(key) or "") for key in ("os", "release", "variant")]
    versions = product.get("versions")
    for serial, version in versions.items() if isinstance(versions, dict) else ():
        if not str(serial)[:8].isdecimal() or len(str(serial)) < 8:
            continue
        items = list(_objects(version.get("items") if isinstance(version, dict) else None))
        for score, (kind, fingerprint) in _fingerprints(items):
            order = (
                *((text == "", text) for text in group),
                _newest_first(str(serial)),
                score,
            )
            yield ServedImage(fingerprint, architecture, kind, aliases, str(serial), order)


def _fingerprints(items: list[dict[str, Any]]) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield preference, type and fingerprint of each image of a version."""
    by_kind = {str(item.get("ftype")): item for item in items}
    if unified := by_kind.get("incus_combined.tar.gz"):
        kind = str(unified.get("combined_type") or "container")
        if fingerprint := unified.get("sha256"):
            yield len(_TYPES), (kind, str(fingerprint))
    if metadata := by_kind.get("incus.tar.xz"):
        for score, (kind, (instance_type, fields)) in enumerate(_TYPES.items()):
            given = next((metadata[key] for key in fields if metadata.get(key)), "")
            if kind in by_kind and given:
                yield score, (instance_type, str(given))


def _newest_first(serial: str) -> tuple[int, ...]:
    return tuple(-ord(character) for character in serial)


def _objects(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield the values of a mapping that are mappings themselves."""
    for value in tree.values() if isinstance(tree, dict) else ():
        if isinstance(value, dict):
            yield value


def _fetch(url: str, until: float, certificate: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        ImageServerUnreachable: the server does not answer in time.
        ImageServerError: the answer is not a JSON object, or is too long.
    """
    try:
        body = _download(url, until, certificate)
        tree = json.loads(body)
    except (requests.exceptions.RequestException, HTTPError, IncusUnreachable) as error:
        reason = type(error).__name__
        raise ImageServerUnreachable(
            f"GET {url}: the image server does not answer this machine ({reason})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ImageServerError(f"GET {url}: the answer is not JSON") from error
    if not isinstance(tree, dict):
        raise ImageServerError(f"GET {url}: the answer is not a JSON object")
    return tree


def _download(url: str, until: float, certificate: str) -> bytes:
    left = max(until - time.monotonic(), 0.1)
    with requests.Session() as session:
        session.max_redirects = _MOST_REDIRECTS
        if certificate:
            bounds = ReplyBounds()
            bounds.set(within=left, wait=left, max_bytes=_LONGEST)
            trust = ServerTrust(fingerprint=certificate_fingerprint(certificate, "server"))
            session.mount("https://", TlsAdapter(client_context(trust, None), trust, bounds))
        reply = session.get(
            url,
            timeout=(min(left, _CONNECT_WITHIN), left),
            stream=True,
            # A short compressed reply could expand to any length.
            headers={"Accept-Encoding": "identity"},
        )
        with reply:
            if urlsplit(url).scheme == "https" and urlsplit(reply.url).scheme != "https":
                raise ImageServerError(
                    f"GET {url}: the answer is a redirect to a server without TLS"
                )
            if reply.status_code != 200:
                raise ImageServerError(f"GET {url}: the image server answered {reply.status_code}")
            body = bytearray()
            for piece in reply.raw.stream(_PIECE, decode_content=False):
                body += piece
                if len(body) > _LONGEST:
                    raise ImageServerError(f"GET {url}: the answer is longer than {_LONGEST} bytes")
                if time.monotonic() > until:
                    raise requests.exceptions.ReadTimeout
            return bytes(body)
