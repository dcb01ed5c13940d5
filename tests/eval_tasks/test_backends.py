"""Models behind a server and under vLLM: what they are asked, with a server and an engine of our own at the edge."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.cli import main
from llemma.core.schemas import EvalResults, EvalSample, read_lines


class _Server(ThreadingHTTPServer):
    """Answers completions with the seed it was given; `asked` keeps every request, `broken` makes it fail."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.broken = False


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, _Server)
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(payload)
        text = f"Final Answer: The final answer is ${payload['seed'] % 1000}$. I hope it is correct."
        body = json.dumps({"choices": [{"index": 0, "text": text}]}).encode()
        self.send_response(500 if self.server.broken else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    pytest.importorskip("tenacity", reason="lm-eval asks servers with the package tenacity: pip install 'lm-eval[api]'")
    running = _Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def _words(server: _Server, tokenizer: Path, out: Path) -> list[str]:
    url = f"http://127.0.0.1:{server.server_port}/v1/completions"
    return ["run", "--backend", "local-completions", "--base-url", url, "--model", "served", "--tokenizer",
            str(tokenizer), "--out", str(out), "--limit", "2", "--max-new-tokens", "9"]  # fmt: skip


def test_served_model_is_asked_with_a_seed_for_each_sample(server: _Server, tiny_model: Path, tmp_path: Path) -> None:
    """lm-eval sends one fixed seed, and a server that honours it says the same to every sample of a problem."""
    words = _words(server, tiny_model, tmp_path)
    assert main([*words, "--majority", "3"]) == 0
    results = EvalResults.read(tmp_path / "results.json")
    assert results.settings["backend"] == "local-completions" and results.model == "served"
    sampled = [one for one in server.asked if one["temperature"] > 0]
    assert len(server.asked) == 2 + 6 and len(sampled) == 6
    assert {(one["temperature"], one["top_p"], one["max_tokens"]) for one in sampled} == {(0.6, 0.95, 9)}
    assert all(one["model"] == "served" and "Problem:" in one["stop"] and "top_k" not in one for one in server.asked)
    for sample in read_lines(tmp_path / "samples.jsonl", EvalSample):
        assert len({one.answer for one in sample.samples}) == 3 and sample.answer is not None
    num_asked = len(server.asked)
    assert main([*words, "--majority", "4"]) == 0
    assert len(server.asked) == num_asked + 2


def test_server_that_fails_ends_with_1_and_keeps_what_was_said(
    server: _Server, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    import tenacity

    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda _: None)
    words = _words(server, tiny_model, tmp_path)
    assert main(words) == 0
    server.broken = True
    assert main([*words, "--majority", "2"]) == 1
    assert "did not answer" in capsys.readouterr().err
    assert EvalResults.read(next(tmp_path.glob("results*.json"))).tasks["llemma_builtin"].majority is None


class _Engine:
    """Stands where lm-eval's vLLM would: keeps what it is asked."""

    max_length = 512

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def tok_encode(self, text: str) -> list[int]:
        return list(text.encode())

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        self.asked.append([request.args for request in requests])
        return [f"The final answer is {request.args[1].get('seed', 0)}." for request in requests]


def test_vllm_is_given_all_problems_of_a_sample_at_once_and_a_seed_for_each(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval_tasks.run import language_model

    engine = _Engine()
    monkeypatch.setattr(language_model, "_load_vllm", lambda plan: engine)
    words = ["run", "--backend", "vllm", "--model", str(tiny_model), "--out", str(tmp_path), "--limit", "5"]
    assert main([*words, "--max-new-tokens", "9", "--majority", "2"]) == 0
    assert [len(batch) for batch in engine.asked] == [5, 5, 5]
    seeds = [{options.get("seed") for _, options in batch} for batch in engine.asked]
    assert seeds[0] == {None} and len(seeds[1] | seeds[2]) == 2
    assert all("top_k" not in options for batch in engine.asked for _, options in batch)


def test_backend_whose_package_is_missing_says_what_to_install(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval_tasks.run import language_model

    def missing(_: object) -> None:
        raise ModuleNotFoundError("No module named 'vllm'")

    monkeypatch.setattr(language_model, "_load_vllm", missing)
    assert main(["run", "--backend", "vllm", "--model", str(tiny_model), "--out", str(tmp_path)]) == 2
    assert "pip install 'lm-eval[vllm]'" in capsys.readouterr().err
