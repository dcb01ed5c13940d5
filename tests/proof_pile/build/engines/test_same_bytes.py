"""Every engine leaves the same bytes: the whole output folder, step by step, but for what holds times."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from build_runs import contents, run_build, write_corpus


@pytest.fixture(scope="module")
def in_one_process(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, str]]:
    """A recipe, a folder that is free again, and what a build by one process left there."""
    root = tmp_path_factory.mktemp("same")
    recipe = write_corpus(root / "corpus", num_files=2, per_file=12)
    out = root / "out"
    run_build(recipe, out, "--workers", "1")
    found = contents(out)
    out.rename(root / "one")  # the NeoX overlay holds absolute paths: all are built in one place
    return recipe, out, found


@pytest.fixture(params=["local", "ray", "slurm"])
def by_engine(request: pytest.FixtureRequest) -> tuple[list[str], dict[str, str]]:
    """Options and environment of a build by that engine."""
    if request.param == "local":
        return ["--workers", "2"], {}
    if request.param == "ray":
        if importlib.util.find_spec("ray") is None:
            pytest.skip("Ray is not installed")
        return ["--engine", "ray", "--workers", "2"], {}
    cluster = request.getfixturevalue("slurm_cluster")
    options = ["--engine", "slurm", "--slurm-poll", "0.2", "--slurm-tasks-per-job", "8"]
    return options, cluster.environment


def test_build_by_another_engine_has_the_same_bytes(
    in_one_process: tuple[Path, Path, dict[str, str]], by_engine: tuple[list[str], dict[str, str]]
) -> None:
    recipe, out, wanted = in_one_process
    options, environment = by_engine
    try:
        run_build(recipe, out, *options, environment=environment)
        found = contents(out)
        assert found.keys() == wanted.keys()
        assert [name for name in wanted if found[name] != wanted[name]] == []
        assert len([name for name in wanted if name.endswith((".bin", ".idx"))]) >= 8
        assert "0 tasks done" in run_build(recipe, out, "--workers", "1")  # and any other engine finds it complete
    finally:
        if out.exists():
            out.rename(out.with_name(f"by-{'-'.join(options)}"))
