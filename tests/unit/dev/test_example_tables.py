"""The page of examples has every configuration key and output of each example."""

import re

import pytest
import yaml

from dev import example_tables, page_sections
from dev.example_tables import FOLDER, configuration, keys, outputs
from dev.paths import ROOT

EXAMPLES = sorted(path.parent.name for path in FOLDER.glob("*/Pulumi.yaml"))
PAGE = (ROOT / "docs" / "examples.md").read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_keys_are_those_that_the_program_reads(name: str) -> None:
    assert configuration(name).keys() == keys(name)
    for key, entry in configuration(name).items():
        assert entry["type"], key
        assert entry["description"].endswith("."), key


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_has_a_table_of_each(name: str) -> None:
    assert ("configuration", name) in page_sections.names(PAGE)
    for key in keys(name):
        assert f"| `{key}`<br>" in example_tables.section(name)
    assert outputs(name)


def test_the_table_says_what_is_required_and_what_is_the_default() -> None:
    table = example_tables.section("remote_host")
    assert re.search(r"\| `url`<br>string \| .* \| required \|", table)
    assert re.search(r"\| `instance_name`<br>string \| .* \| `pika-remote` \|", table)
    assert '| `""` |' in example_tables.section("volume")


def test_the_project_of_the_checkout_has_the_keys_of_the_program_that_it_runs() -> None:
    root = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    assert root["main"] == "examples/managed_agent"
    assert root["config"] == configuration("managed_agent")
