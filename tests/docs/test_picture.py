"""The picture of a preview shows what a preview shows today."""

import re

from dev.picture import TARGET, draw, report
from dev.sandbox import Daemon

from ..conftest import Sandbox


def _text(picture: str) -> str:
    """What can be read in it, whatever version of rich drew it."""
    return re.sub(r"<[^>]*>|\s", "", re.sub(r"<style>.*?</style>", "", picture, flags=re.DOTALL))


def test_picture(sandbox: Sandbox) -> None:
    # `sandbox` sees to it that Incus is there; the picture has a daemon of its own.
    assert isinstance(sandbox.daemon, Daemon)

    assert _text(draw(report())) == _text(TARGET.read_text()), "run `python3 dev picture`"
