from pathlib import Path

import pytest

from ...conftest import Sandbox
from ...support.stack import Stack, make_stack


@pytest.fixture
def stack(tmp_path: Path, sandbox: Sandbox, name: str) -> Stack:
    """A stack of this test, whose temporary files are its own too."""
    stack = make_stack(tmp_path / "stack", sandbox.socket)
    temporary = tmp_path / "stack" / "temporary"
    temporary.mkdir()
    stack.environment["TMPDIR"] = str(temporary)
    return stack
