"""What a node finds before a training begins: damaged data, other tokenizers, missing checkpoints, absent nodes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llemma.cli import main
from llemma.core.files import read_json, write_json
from llemma.guard.manifest import write_manifest
from llemma.launch.node_check import check_node, sampled_hash, space_problems
from llemma.launch.places import Ticket
from llemma.launch.preflight import read_run, start_problems
from llemma.launch.reports import NodeReport, join_reports


def ticket_of(run: Path, **changes: Any) -> Ticket:
    values: dict[str, Any] = {
        "run": str(run), "stage": "01-one", "engine": "neox", "python": sys.executable, "backend": "gloo",
        "nodes": 1, "min_nodes": 1, "processes_per_node": 1, "network_timeout_s": 60,
    }  # fmt: skip
    return Ticket(**{**values, **changes})


def problems_of(run: Path, **changes: Any) -> tuple[str, ...]:
    return check_node(ticket_of(run, **changes), ["n1"], 0, "127.0.0.1", 0).problems


@pytest.fixture
def own_data(little_data: Path, tmp_path: Path) -> Path:
    """A copy of the data that a test may damage."""
    import shutil

    shutil.copytree(little_data.parent, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def run_on_own_data(make_run: Callable[..., Path], own_data: Path, little_data: Path) -> Path:
    run = make_run()
    for name in ("neox.yml", "stage.json"):
        path = run / "stages/01-one" / name
        path.write_text(path.read_text().replace(str(little_data.parent), str(own_data)))
    return run


def test_node_where_everything_is_as_planned_has_no_problem_and_tells_what_it_proved(run_on_own_data: Path) -> None:
    report = check_node(ticket_of(run_on_own_data), ["n1"], 0, "127.0.0.1", 0)
    assert report.problems == ()
    assert "6 data files" in report.facts[0]
    assert report.versions["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("file", "how", "wanted"),
    [
        ("data/only/train.idx", "sizes", "train.idx: it is not the file that the mixture names"),
        ("data/only/train.bin", "sampled", "train.bin: it is not the file that the mixture names"),
        ("data/only/train.bin", "full", "train.bin: it is not the file that the mixture names"),
        ("tokenizer/tokenizer.model", "sizes", "it is not the tokenizer that made the data"),
        ("mixture.json", "sizes", "it has changed since the run was planned"),
    ],
)
def test_node_that_sees_one_changed_byte_names_the_file(
    run_on_own_data: Path, own_data: Path, file: str, how: str, wanted: str
) -> None:
    path = own_data / file
    data = bytearray(path.read_bytes())
    if file == "mixture.json":
        data += b"\n"
    else:
        data[-1] ^= 1
    path.write_bytes(data)
    assert any(wanted in problem for problem in problems_of(run_on_own_data, data_check=how))


def test_node_with_a_shortened_shard_says_how_many_bytes_are_missing(run_on_own_data: Path, own_data: Path) -> None:
    path = own_data / "data/only/train.bin"
    path.write_bytes(path.read_bytes()[:-10])
    assert f"{path}: 7,990 bytes, but 4,000 tokens make 8,000" in problems_of(run_on_own_data, data_check="sizes")


def test_sampled_hash_sees_the_first_and_the_last_byte_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(40 << 20)
    hashes = {sampled_hash(path)}
    for place in (0, (40 << 20) - 1):
        with open(path, "r+b") as file:
            file.seek(place)
            file.write(b"x")
        hashes.add(sampled_hash(path))
    assert len(hashes) == 3


def test_checkpoint_to_load_that_does_not_exist_never_starts_a_run(run_on_own_data: Path, tmp_path: Path) -> None:
    """Upstream GPT-NeoX only warns of it and trains random weights."""
    config = run_on_own_data / "stages/01-one/neox.yml"
    config.write_text(config.read_text() + f"load: {tmp_path}/nowhere\nfinetune: true\n")
    assert f"{tmp_path}/nowhere: the checkpoint to start from is not here" in problems_of(run_on_own_data)
    folder = tmp_path / "nowhere/global_step0"
    folder.mkdir(parents=True)
    (tmp_path / "nowhere/latest").write_text("global_step0")
    assert "it has 0 files mp_rank_NN_model_states.pt" in problems_of(run_on_own_data)[0]
    (folder / "mp_rank_00_model_states.pt").write_bytes(b"weights")
    assert problems_of(run_on_own_data) == ()
    write_manifest(folder)
    (folder / "mp_rank_00_model_states.pt").write_bytes(b"weighty")
    assert "its bytes have changed since it was written" in problems_of(run_on_own_data)[0]
    stage = read_run(run_on_own_data)[0]
    later = stage.compiled.model_copy(update={"start": "stage"})
    from dataclasses import replace

    found = start_problems("neox", replace(stage, compiled=later), str(tmp_path / "none"))
    assert found == [f"{tmp_path}/none: there is no checkpoint of the stage that 01-one starts from"]


def test_node_without_room_for_two_checkpoints_says_how_much_is_missing(run_on_own_data: Path) -> None:
    stage = read_run(run_on_own_data)[0]
    assert space_problems(run_on_own_data, stage) == []
    record = read_json(run_on_own_data / "record.json")
    record["estimates"]["stages"][0]["checkpoint_bytes"] = 10**18
    write_json(run_on_own_data / "record.json", record)
    assert "two checkpoints of 1,000,000,000.0 GB must find room" in space_problems(run_on_own_data, stage)[0]


def test_reports_of_nodes_that_differ_name_who_has_what() -> None:
    first = NodeReport(node="n1", seconds=1, versions={"torch": "2.8.0"}, samples={"a.bin": "0" * 64})
    second = NodeReport(
        node="n2", seconds=1, versions={"torch": "2.7.1"}, samples={"a.bin": "1" * 64}, problems=("no room",)
    )
    problems, _ = join_reports(["n1", "n2", "n3"], [first, second])
    assert "n2: no room" in problems
    assert "n3: this node gave no answer: its log says why" in problems
    assert "the nodes have different versions of torch: 2.8.0 on n1; 2.7.1 on n2" in problems
    assert any(problem.startswith("a.bin: the nodes see different bytes") for problem in problems)


def test_network_check_names_the_node_that_does_not_come() -> None:
    """Two of three nodes come: both say who is missing, and neither waits longer than it was told to."""
    pytest.importorskip("torch")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = [sys.executable, "-m", "llemma.neox_engine.network", "--names", "n1,n2,n3", "--address", "127.0.0.1"]
    words += ["--port", str(port), "--backend", "gloo", "--timeout", "15", "--rank"]
    processes = [subprocess.Popen([*words, str(rank)], stdout=subprocess.PIPE, text=True) for rank in (0, 1)]
    told = [json.loads(process.communicate()[0].splitlines()[-1])["problem"] for process in processes]
    assert [text.startswith("n3 did not come to the rendezvous within 15 s") for text in told] == [True, True]


def test_preflight_only_on_this_host_prints_what_it_found_and_starts_nothing(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    assert main(["launch", str(run), "--preflight-only"]) == 0
    text = capsys.readouterr().out
    assert "the tokenizer are the mixture's" in text
    assert "everything is as it must be" in text
    assert not (run / "train").exists()
