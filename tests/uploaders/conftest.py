"""The environments of the real uploaders, for all tests here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from wire import open_environments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from environments import Environments


@pytest.fixture(scope="session")
def environments(pytestconfig: pytest.Config) -> Iterator[Environments]:
    yield from open_environments(pytestconfig)
