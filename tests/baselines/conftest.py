"""Tests of eos are skipped where it is not installed: it has no wheel for every Python, see pyproject.toml."""

import pytest

from recface.errors import RecfaceError


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Fixtures that need eos."""
    return (yield from _without_eos())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Tests that need eos."""
    return (yield from _without_eos())


def _without_eos():
    try:
        return (yield)
    except RecfaceError as error:
        if "eos-py is not installed" in str(error):
            pytest.skip(str(error))
        raise
