import pytest
from tests.sweeps.toy import Toy


@pytest.fixture
def toy(tmp_path, start):
    """A small program in place of run.py, and sweeps of it."""
    return Toy(tmp_path, start)
