"""Text of the picture and of the site can be read: its contrast is at least that of WCAG AA."""

import re

import pytest

from dev.paths import ROOT

LEAST = 4.5
PICTURE = (ROOT / "docs" / "assets" / "preview.svg").read_text()
STYLES = (ROOT / "docs" / "assets" / "extra.css").read_text()
WHITE, CODE = "#ffffff", "#f5f5f5"
DARK, DARK_CODE = "#1e2129", "#272a35"
"""The backgrounds of Material, light and dark: pages, and blocks of code."""


def contrast(one: str, other: str) -> float:
    """The contrast of two colours (WCAG 2.2, relative luminance)."""
    lights = sorted((_luminance(one), _luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast_is_that_of_the_definition() -> None:
    assert contrast("#000000", WHITE) == pytest.approx(21)
    assert contrast("#767676", WHITE) == pytest.approx(4.54, abs=0.01)


def test_the_picture() -> None:
    background = re.findall(r'<rect fill="(#\w{6})"', PICTURE)
    tones = set(re.findall(r"fill: (#\w{6})", PICTURE))

    assert len(background) == 1
    assert len(tones) >= 4
    assert {tone for tone in tones if contrast(tone, background[0]) < LEAST} == set()


def test_the_picture_has_letters_of_a_size_that_can_be_read_and_room_around_them() -> None:
    size = re.search(r"font-size: (\d+)px", PICTURE)
    place = re.search(r"translate\((\d+), \d+\) scale\(([\d.]+)\)", PICTURE)

    assert size
    assert place
    assert int(size[1]) * float(place[2]) >= 13
    assert int(place[1]) >= 24


@pytest.mark.parametrize(
    ("scheme", "name", "background"),
    [
        (":root", "--md-primary-fg-color", WHITE),
        (":root", "--md-accent-fg-color", WHITE),
        ('[data-md-color-scheme="default"]', "--md-typeset-a-color", WHITE),
        ('[data-md-color-scheme="default"]', "--md-code-hl-comment-color", CODE),
        ('[data-md-color-scheme="default"]', "--md-code-hl-generic-color", CODE),
        ('[data-md-color-scheme="default"]', "--md-code-hl-punctuation-color", CODE),
        ('[data-md-color-scheme="default"]', "--md-code-hl-operator-color", CODE),
        ('[data-md-color-scheme="default"]', "--md-code-hl-variable-color", CODE),
        ('[data-md-color-scheme="slate"]', "--md-typeset-a-color", DARK),
        ('[data-md-color-scheme="slate"]', "--md-accent-fg-color", DARK),
        ('[data-md-color-scheme="slate"]', "--md-code-hl-number-color", DARK_CODE),
        ('[data-md-color-scheme="slate"]', "--md-code-hl-constant-color", DARK_CODE),
    ],
)
def test_the_site(scheme: str, name: str, background: str) -> None:
    rules = STYLES.partition(f"{scheme} {{")[2].partition("}")[0]
    colour = re.search(rf"{name}: (#\w{{6}})", rules)

    assert colour
    assert contrast(colour[1], background) >= LEAST
