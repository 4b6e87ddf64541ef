import pytest

from dev.paths import ROOT

from .environment import Built, build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The release, built from the checkout as it is."""
    target = tmp_path_factory.mktemp("dist")
    wheel = build(ROOT, target)
    return Built(next(target.glob("*.tar.gz")), wheel)
