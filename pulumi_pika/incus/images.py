"""Fetch, copy, upload, change and delete images and their aliases."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .client import Entity, IncusClient, OnProgress, url
from .errors import NotFound
from .image_upload import ImageUpload
from .remotes import ImageServer

FIRST_UPLOAD_REPLY: Final = 60.0
"""How long the server may take for the reply after the last byte of an upload, in seconds."""


@dataclass(frozen=True, slots=True)
class ImageAlias:
    """Hold an alias of an image."""

    name: str
    target: str
    """The fingerprint of its image."""
    description: str
    kind: str
    """`container` or `virtual-machine`: the type of its image."""
    etag: str


@dataclass(frozen=True, slots=True)
class PullSource:
    """Describe the image of another server, or of another project, that the server copies.

    Attributes:
        image: its alias or fingerprint there.
        server: the image server; None for the server itself.
        instance_type: `container` or `virtual-machine`; empty for any.
        project: the project of the image, if it is on an Incus server.
        secret: the one-time secret for an image that is not public.
    """

    image: str
    server: ImageServer | None = None
    instance_type: str = ""
    project: str = ""
    secret: str = field(default="", repr=False)

    def body(self) -> dict[str, Any]:
        """Return the source as the request has it (Incus shared/api, `ImagesPostSource`)."""
        body: dict[str, Any] = {"type": "image", "mode": "pull", "image_type": self.instance_type}
        # Incus treats both alike, but an older server does not look up a fingerprint as an alias.
        body["fingerprint" if _is_fingerprint(self.image) else "alias"] = self.image
        # Of the server itself, Incus stores the protocol too.
        body["protocol"] = self.server.protocol if self.server else "incus"
        if self.server is not None:
            body["server"] = self.server.url
            if self.server.certificate:
                body["certificate"] = self.server.certificate
        if self.project:
            body["project"] = self.project
        if self.secret:
            body["secret"] = self.secret
        return body


def get_image(client: IncusClient, fingerprint: str) -> Entity | None:
    """Return an image of the client's project, or None.

    Args:
        client: a client in the image's project.
        fingerprint: the fingerprint, or its beginning.
    """
    try:
        return client.get(url("images", fingerprint))
    except NotFound:
        return None


def list_images(client: IncusClient) -> list[dict[str, Any]]:
    """Return the images of the client's project, as the server shows them."""
    listed = client.get_list("/1.0/images", recursion="1")
    return [data for data in listed if isinstance(data, dict)]


def get_alias(client: IncusClient, name: str) -> ImageAlias | None:
    """Return an image alias of the client's project, or None."""
    try:
        entity = client.get(url("images", "aliases", name))
    except NotFound:
        return None
    return ImageAlias(
        name=name,
        target=str(entity.data.get("target") or ""),
        description=str(entity.data.get("description") or ""),
        kind=str(entity.data.get("type") or ""),
        etag=entity.etag,
    )


def create_alias(client: IncusClient, name: str, target: str, description: str) -> None:
    """Create an image alias.

    Args:
        client: a client in the image's project.
        name: the name of the alias.
        target: the fingerprint of the image.
        description: the description.

    Raises:
        AlreadyExists: an alias of that name exists.
        BadRequest: the name is not valid.
    """
    body = {"name": name, "target": target, "description": description}
    client.send_change("POST", "/1.0/images/aliases", body)


def change_alias(client: IncusClient, alias: ImageAlias, target: str, description: str) -> None:
    """Point an alias to another image, and set its description.

    Args:
        client: a client in the image's project.
        alias: the alias as last fetched; the request is refused if it has changed since.
        target: the fingerprint of the image.
        description: the description.
    """
    body = {"target": target, "description": description}
    client.send_change("PUT", url("images", "aliases", alias.name), body, etag=alias.etag)


def delete_alias(client: IncusClient, name: str) -> None:
    """Delete an image alias; the image stays.

    Raises:
        NotFound: it does not exist.
    """
    client.send_change("DELETE", url("images", "aliases", name))


def pull_image(client: IncusClient, source: PullSource, properties: Mapping[str, str]) -> str:
    """Start a copy of an image by the server itself, without updates afterwards.

    If the project has the image already, Incus only adds the properties, and clears `public`,
    `auto_update` and the name of its file (cmd/incusd/images.go, `imgPostRemoteInfo`).

    Args:
        client: a client in the new image's project.
        source: the image to copy.
        properties: properties that the copy has in addition to its own.

    Returns:
        The id of the operation. Its metadata has the fingerprint (`fingerprint`).
    """
    body = {"source": source.body(), "properties": dict(properties), "auto_update": False}
    return client.send_change("POST", "/1.0/images", body)


def upload_image(
    client: IncusClient, upload: ImageUpload, fingerprint: str, *, timeout: float
) -> str:
    """Send the files of an image.

    The file is not sent with properties: Incus ends with a panic if the image's own metadata has
    none (cmd/incusd/images.go, `getImgPostInfo`).

    Args:
        client: a client in the new image's project.
        upload: the files.
        fingerprint: the fingerprint of the files; the server refuses others.
        timeout: how long the upload may take, in seconds.

    Returns:
        The id of the operation. Its metadata has the fingerprint (`fingerprint`).
    """
    headers = {
        "Content-Type": upload.content_type,
        "X-Incus-fingerprint": fingerprint,
        "X-Incus-filename": upload.filename,
    }
    return client.send_change(
        "POST", "/1.0/images", data=upload, headers=headers, timeout=timeout + FIRST_UPLOAD_REPLY
    )


def put_image(
    client: IncusClient, image: Entity, *, properties: Mapping[str, str], public: bool
) -> None:
    """Set the properties of an image and whether it is public; the rest stays as it was fetched.

    A PATCH could not remove a property. The ETag covers `public`, `auto_update` and the
    properties.

    Args:
        client: a client in the image's project.
        image: the image as last fetched; the request is refused if it has changed since.
        properties: all properties.
        public: whether clients without trust may use it.

    Raises:
        PreconditionFailed: the image has changed since.
    """
    body = {
        "auto_update": bool(image.data.get("auto_update")),
        "public": public,
        "expires_at": image.data.get("expires_at"),
        # Without it, Incus sets the profile `default`.
        "profiles": image.data.get("profiles") or [],
        "properties": dict(properties),
    }
    path = url("images", str(image.data.get("fingerprint")))
    client.send_change("PUT", path, body, etag=image.etag)


def delete_image(
    client: IncusClient,
    fingerprint: str,
    *,
    timeout: float,
    on_progress: OnProgress | None = None,
) -> None:
    """Delete an image with its aliases; instances that were created from it stay.

    Args:
        client: a client in the image's project.
        fingerprint: the whole fingerprint.
        timeout: how long to wait for the operation, in seconds.
        on_progress: see `IncusClient.wait`.

    Raises:
        NotFound: it does not exist.
    """
    path = url("images", fingerprint)
    client.run("DELETE", path, timeout=timeout, on_progress=on_progress)


def image_secret(client: IncusClient, fingerprint: str) -> str:
    """Return a one-time secret with which another server may copy an image that is not public.

    Args:
        client: a client of the server that has the image, in its project.
        fingerprint: the whole fingerprint.
    """
    operation = client.send_change("POST", url("images", fingerprint, "secret"))
    # The operation is a token: it stays until it is used, so it is read and not awaited.
    metadata = client.get(url("operations", operation)).data.get("metadata")
    return str(metadata.get("secret") or "") if isinstance(metadata, dict) else ""


def _is_fingerprint(text: str) -> bool:
    return len(text) == 64 and not set(text) - set("0123456789abcdef")
