"""A prediction with its scene and bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_ground import place


@pytest.fixture
def placed(tmp_path: Path):
    return place(tmp_path)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory):
    """The same, for tests that change nothing."""
    return place(tmp_path_factory.mktemp("report"))
