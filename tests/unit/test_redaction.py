"""Secrets are taken out of texts before anything is cut from them."""

import json
import random
from typing import Any

import pytest

from pulumi_pika.incus.errors import api_error
from pulumi_pika.jobs.guest_events import EventReader
from pulumi_pika.jobs.observer import (
    LINES_AT_ONCE,
    JobProgress,
    LineObserver,
)
from pulumi_pika.jobs.output_capture import Capture
from pulumi_pika.jobs.verdict import GuestResult, parse_result
from pulumi_pika.providers.properties import Properties
from pulumi_pika.providers.secret_marking import Redactor
from pulumi_pika.reconcile.instances.guest_status import GuestStatus
from pulumi_pika.reconcile.shared.reporter import Progress
from pulumi_pika.redaction import (
    HIDDEN,
    Stream,
    ValueRedactor,
    cut,
    cut_front,
    redact,
    redacting,
)

from ..support.reconcile import Recorder

SECRET = "hunter2-CorrectHorseBatteryStaple"
PIECES = [SECRET[start : start + 6] for start in range(len(SECRET) - 5)]
"""Parts of the secret that are long enough to tell of it."""
KEY = "-----BEGIN KEY-----\nMIIa\nbQ==\n-----END KEY-----\n"


def tells(shown: object) -> list[str]:
    return [piece for piece in PIECES if piece in str(shown)]


def redactor() -> Redactor:
    return Redactor(
        Properties.parse(
            {
                "secret_inputs": ["environment.TOKEN", "environment.KEY"],
                "environment": {"TOKEN": SECRET, "KEY": KEY},
            }
        )
    )


def test_pieces_are_as_the_whole() -> None:
    rng = random.Random(1)
    for _ in range(5000):
        values = ["".join(rng.choices("abc", k=rng.randrange(1, 6))) for _ in range(3)]
        text = "".join(rng.choices("abcx", k=rng.randrange(30)))
        whole = ValueRedactor(values)
        with redacting(whole):
            stream = Stream()
        shown, at = "", 0
        while at < len(text):
            size = rng.randrange(1, 5)
            shown += stream.feed(text[at : at + size])
            at += size
        assert shown + stream.finish() == whole(text), (values, text)


def test_end_of_a_stream_within_a_secret() -> None:
    with redacting(ValueRedactor([SECRET])):
        stream = Stream()
        assert stream.feed(f"token {SECRET[:12]}") == "token "
        assert stream.finish() == HIDDEN
        assert stream.feed(f"the {SECRET[:3]}") + stream.finish() == "the hun"


def test_secrets_are_those_of_the_thread() -> None:
    assert redact(SECRET) == SECRET
    with redacting(ValueRedactor([SECRET])):
        assert redact(SECRET) == HIDDEN
        for before in range(30):
            assert tells(cut("0" * before + SECRET, 32)) == []
            assert tells(cut_front(SECRET + "0" * before, 32)) == []
    assert redact(SECRET) == SECRET


def lines_of(*pieces: bytes | float) -> list[str]:
    """What a job's lines are; a number stands for so many seconds without a word."""
    recorder = Recorder()
    with redacting(redactor()):
        watcher = LineObserver(recorder, "job")
        for piece in pieces:
            if isinstance(piece, bytes):
                watcher.output(piece)
            else:
                watcher._spoke -= piece
                watcher.alive(JobProgress(elapsed=60, limit=90, silent=piece, output=0))
        watcher.finish()
    return [line.partition("] ")[2] for line in recorder.infos if line.startswith("[")]


@pytest.mark.parametrize("before", range(1960, 2005, 3))
def test_lines_that_are_cut(before: int) -> None:
    (line,) = lines_of(b"0" * before + SECRET.encode() + b"\n")
    assert tells(line) == []
    shown = lines_of(b"0" * before + SECRET.encode())
    assert tells(shown) == []


@pytest.mark.parametrize("at", range(1, len(SECRET), 4))
def test_lines_in_pieces(at: int) -> None:
    first, second = SECRET[:at].encode(), SECRET[at:].encode()
    shown = lines_of(b"tok=", first, 30.0, second, b" end\n")
    assert tells(shown) == []
    assert "".join(shown) == f"tok={HIDDEN} end"


def test_secrets_of_several_lines() -> None:
    assert lines_of(b"a\n", *(bytes([byte]) for byte in KEY.encode()), b"b\n") == [
        "a",
        f"{HIDDEN}b",
    ]


def test_events_count_among_the_lines() -> None:
    recorder = Recorder()
    watcher = LineObserver(recorder, "job")
    events = b"".join(b'{"kind": "k", "message": "%d"}\n' % n for n in range(1000))
    for event in EventReader().feed(events):
        watcher.event(event)
    watcher.output(b"x\n")
    watcher.finish()
    assert len(recorder.infos) == LINES_AT_ONCE + 1
    assert "961 more lines" in recorder.infos[-1]


def test_events_and_results() -> None:
    for before in range(460, 505):
        text = "0" * before + SECRET
        line = json.dumps({"kind": "k\nwarning: forged", "message": text}).encode() + b"\n"
        with redacting(redactor()):
            (event,) = EventReader().feed(line)
        assert tells(event) == []
        assert "\n" not in event.describe()
    for before in range(1960, 2005):
        result = {"schema_version": 1, "status": "failed", "message": "0" * before + SECRET}
        with redacting(redactor()):
            found = parse_result(json.dumps(result).encode(), "/r")
        assert isinstance(found, GuestResult)
        assert tells(found) == []
    for field in ("schema_version", "status"):
        for before in range(40):
            odd: dict[str, Any] = {"schema_version": 1, "status": "failed"}
            odd[field] = "0" * before + SECRET
            with redacting(redactor()):
                assert tells(parse_result(json.dumps(odd).encode(), "/r")) == []


def test_tail_of_the_output() -> None:
    for size in (1, 7, 5000):
        output = (f"{'0' * 60}{SECRET}{KEY}" * 600).encode()
        with redacting(redactor()):
            capture = Capture(None, 0)
            for at in range(0, len(output), size):
                capture.write(output[at : at + size])
        tail = capture.tail()
        assert tells(tail) == []
        assert "MIIa" not in tail


def test_words_of_a_guest_in_messages() -> None:
    for before in range(460, 505):
        with redacting(redactor()):
            assert tells(GuestStatus("failed", message="0" * before + SECRET).describe()) == []
    recorder = Recorder()
    with redacting(redactor()):
        progress = Progress(recorder, "making")
        progress._next = 0
        progress.operation(0, {"create_progress": "0" * 190 + SECRET})
    assert tells(recorder.infos) == []


@pytest.mark.parametrize(
    "secret", ["correct  horse battery", "correct\thorse", "correct\u200bhorse"]
)
def test_white_space_of_a_secret_in_a_servers_reason(secret: str) -> None:
    with redacting(ValueRedactor([secret])):
        error = api_error(400, f'Invalid config: bad value "{secret}"', "PATCH /1.0/instances/x")
    assert "horse" not in str(error)
    assert "horse" not in error.reason
