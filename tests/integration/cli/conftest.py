"""What tests of the command line share."""

from pathlib import Path

import pytest

from pulumi_pika.incus.client import IncusClient

from ...conftest import Sandbox
from ...support.command_line import Runner


@pytest.fixture
def runner(tmp_path: Path, sandbox: Sandbox, client: IncusClient, name: str) -> Runner:
    return Runner(tmp_path, sandbox, client, name)
