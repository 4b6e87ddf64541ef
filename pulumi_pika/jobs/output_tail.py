"""Reads what is written to a file as it grows."""

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
    """A file that grows, and how far it was read.

    Args:
        client: a client in the instance's project.
        path: the file's path in Incus's API.
        params: the query: for a file of the guest, its ``path``.

    Attributes:
        offset: how many bytes were read.
        size: how many there were when last read.
        cut: why no more is read; empty while more may be.
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
        """What came since the last read, 1 MiB at most; empty where nothing did, or where there is
        no such file (yet). A file that became shorter is read anew.

        Raises:
            IncusError: it cannot be read.
        """
        if self.cut:
            return b""
        end = self.offset + CHUNK - 1
        # A server that knows no ranges sends all of it each time, which has to fit into memory.
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
                f"the server does not send parts of it, and the whole has more than {whole:,} bytes"
            )
            return b""
        if reply.headers.get("X-Incus-Type", "file") != "file":
            return b""
        if reply.status == _PARTIAL:
            content_range = reply.headers.get("Content-Range", "")
            if not content_range.startswith(f"bytes {self.offset}-"):
                raise UnexpectedResponse(
                    f"GET {self._path} ({self._client.host}): what follows byte {self.offset} was "
                    f"asked for; the answer says {content_range!r}"
                )
            self.offset += len(reply.body)
            self.size = _whole_size(content_range)
            return reply.body
        if reply.status == 200:
            # Of an empty file, or by a server that knows no ranges.
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
            f"GET {self._path} ({self._client.host}): Incus answered {reply.status}"
        )


def _whole_size(content_range: str) -> float:
    """The size in ``bytes A-B/SIZE`` or ``bytes */SIZE``."""
    text = content_range.rpartition("/")[2]
    return int(text) if text.isdigit() else float("inf")
