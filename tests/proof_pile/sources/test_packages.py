"""Where installed packages lie."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llemma.core.errors import InputError
from proof_pile.sources.packages import package_root


@pytest.mark.parametrize("name", ["os", "json", "numpy"])
def test_root_of_a_package_is_where_python_imports_it_from(name: str) -> None:
    module = __import__(name)
    assert package_root(name) in (Path(str(module.__file__)), Path(str(module.__file__)).parent)


@pytest.mark.parametrize("name", ["no_such_package_anywhere", "os.path", "../numpy"])
def test_package_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"not installed|not the name of a top-level package"):
        package_root(name)


def test_asking_for_pip_leaves_setuptools_whole() -> None:
    code = "from proof_pile.sources.packages import package_root; package_root('pip'); import setuptools"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
