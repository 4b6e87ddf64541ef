"""Read a growing file."""

from collections.abc import Mapping
from typing import Final

from ..incus.client import IncusClient
from ..incus.errors import AnswerTooLong, UnexpectedResponse
from ..incus.transport import MAX_RESPONSE_BYTES

CHUNK: Final = 1024 * 1024
_PARTIAL: Final = 206
_PAST_END: Final = 416
_WITHIN: Final = 30.0


class Tail:
    """A growing file, and how far it was read.

    Args:
        client: A client in the instance's project.
        path: The path of the file in Incus's API.
        params: The query parameters: for a file of the guest, its ``path``.

    Attributes:
        offset: How many bytes were read.
        size: How many bytes the file had when it was last read.
        cut: Why the file is no longer read; empty while it is still read.
    """

    def __init__(
        self, client: IncusClient, path: str, params: Mapping[str, str] | None = None
    ) -> None:
        self._client = client
        self._path = path
        self._params = params or {}
        self.offset = 0
        self.size = 0.0
        self.cut = ""

    def read(self) -> bytes:
        """Return the bytes that were added since the last read, at most 1 MiB. The result is empty
        if there are none, or if the file does not exist (yet). A file that became shorter is read
        again from its start.

        Raises:
            IncusError: The file cannot be read.
        """
        if self.cut:
            return b""
        end = self.offset + CHUNK - 1
        # A server without support for ranges sends the whole file each time, which must fit into
        # memory.
        whole = min(CHUNK + self.offset, MAX_RESPONSE_BYTES)
        try:
            reply = self._client.get_raw(
                self._path,
                headers={"Range": f"bytes={self.offset}-{end}"},
                timeout=_WITHIN,
                within=_WITHIN,
                max_bytes=whole,
                **self._params,
            )
        except AnswerTooLong:
            if whole < MAX_RESPONSE_BYTES:
                raise
            self.cut = (
                f"the server does not support ranges, and the file has more than {whole:,} bytes"
            )
            return b""
        if reply.headers.get("X-Incus-Type", "file") != "file":
            return b""
        if reply.status == _PARTIAL:
            content_range = reply.headers.get("Content-Range", "")
            if not content_range.startswith(f"bytes {self.offset}-"):
                raise UnexpectedResponse(
                    f"GET {self._path} ({self._client.host}): the request was for the bytes from "
                    f"{self.offset} on, and the reply has {content_range!r}"
                )
            self.offset += len(reply.body)
            self.size = _whole_size(content_range)
            return reply.body
        if reply.status == 200:
            # The file is empty, or the server does not support ranges.
            new = reply.body[self.offset : end + 1]
            self.offset += len(new)
            self.size = len(reply.body)
            return new
        if reply.status == _PAST_END:
            self.size = _whole_size(reply.headers.get("Content-Range", ""))
            if self.size < self.offset:
                self.offset = 0
            return b""
        if reply.status == 404:
            return b""
        raise UnexpectedResponse(
            f"GET {self._path} ({self._client.host}): Incus replied with status {reply.status}"
        )


def _whole_size(content_range: str) -> float:
    """Return the size in ``bytes A-B/SIZE`` or ``bytes */SIZE``."""
    text = content_range.rpartition("/")[2]
    return int(text) if text.isdigit() else float("inf")
