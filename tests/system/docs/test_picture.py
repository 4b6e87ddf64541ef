"""The picture of a preview shows what a preview shows today."""

import re

import pytest

from dev.picture import (
    TARGET,
    draw,
    report,
)


def _text(picture: str) -> str:
    """What can be read in it, whatever version of rich drew it."""
    return re.sub(r"<[^>]*>|\s", "", re.sub(r"<style>.*?</style>", "", picture, flags=re.DOTALL))


# `sandbox` sees to it that Incus is there; the picture has a daemon of its own.
@pytest.mark.usefixtures("sandbox")
def test_picture() -> None:
    assert _text(draw(report())) == _text(TARGET.read_text()), "run `python3 dev picture`"
