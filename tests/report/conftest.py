"""A finished run and its page, made once for all tests here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from run_folder import make_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with every part."""
    return make_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def page(finished_run: Path) -> str:
    """The page of the finished run."""
    from llemma.report.inputs import load_run
    from llemma.report.page import render_page

    return render_page(load_run(finished_run))
