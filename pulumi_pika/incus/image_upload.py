"""Read the files of an image: their fingerprint, and the body of their upload."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_PIECE: Final = 1024 * 1024
_QCOW2: Final = b"QFI\xfb"

OnBytes = Callable[[int, int], None]
"""Called with the bytes so far and the bytes in all."""


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Name the files of an image: one unified file, or a metadata file and a root file system.

    Attributes:
        metadata: the metadata tarball, or the unified tarball.
        rootfs: the root file system of a split image; None for a unified one.
    """

    metadata: Path
    rootfs: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """Return the files in the order of the fingerprint and of the upload."""
        return [self.metadata, *([self.rootfs] if self.rootfs else [])]

    def instance_type(self) -> str:
        """Return `virtual-machine` or `container` for a split image; empty for a unified one.

        As the `incus` client does it: a root file system in the format qcow2 is a disk.

        Raises:
            OSError: the file cannot be read.
        """
        if self.rootfs is None:
            return ""
        with self.rootfs.open("rb") as file:
            return "virtual-machine" if file.read(len(_QCOW2)) == _QCOW2 else "container"


def fingerprint_of(files: ImageFiles, on_bytes: OnBytes | None = None) -> str:
    """Return the fingerprint that Incus gives the image: the SHA-256 of its files, one by one.

    Args:
        files: the files.
        on_bytes: called for each part that was read.

    Raises:
        OSError: a file cannot be read.
    """
    digest, done = hashlib.sha256(), 0
    total = sum(path.stat().st_size for path in files.paths)
    for path in files.paths:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                done += len(piece)
                if on_bytes:
                    on_bytes(done, total)
    return digest.hexdigest()


class ImageUpload:
    """Be the body of the upload of an image, which is read from its files while it is sent.

    Args:
        files: the files.
        on_bytes: called for each part that is sent.

    Attributes:
        content_type: the content type of the body.
        filename: the name of the file, which `incus image info` shows.
        error: the error of a file that could not be read while it was sent.

    Raises:
        OSError: a file cannot be read.
    """

    def __init__(self, files: ImageFiles, on_bytes: OnBytes | None = None) -> None:
        self._on_bytes = on_bytes
        self._parts: list[bytes | Path] = []
        self._open: BinaryIO | None = None
        self.error: OSError | None = None
        self._sent = 0
        if files.rootfs is None:
            self.content_type = "application/octet-stream"
            self._parts.append(files.metadata)
        else:
            boundary = secrets.token_hex(16)
            self.content_type = f"multipart/form-data; boundary={boundary}"
            root = "rootfs.img" if files.instance_type() == "virtual-machine" else "rootfs"
            for name, path in (("metadata", files.metadata), (root, files.rootfs)):
                self._parts += [_part_head(boundary, name, path), path, b"\r\n"]
            self._parts.append(f"--{boundary}--\r\n".encode())
        self.filename = _plain_name((files.rootfs or files.metadata).name)
        self._size = sum(
            len(part) if isinstance(part, bytes) else part.stat().st_size for part in self._parts
        )

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(_PIECE):
            yield piece

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            OSError: a file cannot be read, or has become shorter.
        """
        wanted = _PIECE if size < 0 else size
        try:
            return self._read(wanted)
        except OSError as error:
            self.error = error  # The connection reports it as its own failure.
            raise

    def _read(self, size: int) -> bytes:
        while self._parts:
            piece = self._next(size)
            if piece:
                self._sent += len(piece)
                if self._on_bytes:
                    self._on_bytes(self._sent, self._size)
                return piece
        if self._sent < self._size:
            raise OSError("a file of the image became shorter while it was sent")
        return b""

    def _next(self, size: int) -> bytes:
        part = self._parts[0]
        if isinstance(part, bytes):
            piece, rest = part[:size], part[size:]
            self._parts[:1] = [rest] if rest else []
            return piece
        if self._open is None:
            self._open = part.open("rb")
        # A file that grows meanwhile must not make the body longer than its announced length.
        piece = self._open.read(min(size, self._size - self._sent))
        if not piece:
            self.close()
            self._parts.pop(0)
        return piece

    def close(self) -> None:
        """Close the file that is open."""
        if self._open is not None:
            self._open.close()
            self._open = None


def _part_head(boundary: str, name: str, path: Path) -> bytes:
    return (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="{name}"; filename="{_plain_name(path.name)}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()


def _plain_name(name: str) -> str:
    """Return a file's name without characters that a header cannot have."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-+") else "_" for c in name)


def can_read(path: Path) -> bool:
    """Return whether a path is a file that this process may read."""
    return path.is_file() and os.access(path, os.R_OK)
