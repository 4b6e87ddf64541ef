from pathlib import Path

import pytest

from ..conftest import Sandbox
from ..support.stack import Stack, make_stack


@pytest.fixture
def stack(tmp_path: Path, sandbox: Sandbox, name: str) -> Stack:
    """A stack of this test; `name` sweeps what it may leave at the daemon."""
    return make_stack(tmp_path / "stack", sandbox.socket)
