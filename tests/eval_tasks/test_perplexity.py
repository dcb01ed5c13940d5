"""Perplexity against a reference that asks the model for one token at a time."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval_tasks.cli import main
from eval_tasks.perplexity import DocumentLoss, total
from llemma.core.indexed.writer import IndexedWriter
from llemma.core.schemas import Mixture, MixtureSource, Shard, TokenizerInfo

TEXTS = ["The sum of 2 and 3 is 5.", "Let $x$ be real. Then $x^2 \\ge 0$, é.", "a"]
LONG = "All primes but two are odd. " * 6  # 168 bytes and as many tokens, for a context of 64


@pytest.fixture(scope="module")
def reference(tiny_model: Path) -> Any:
    """The loss of a text, token by token; each piece of `stride` tokens sees what fits into the context before it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()

    def loss(text: str, *, after: str = "", stride: int = 511, context: int = 512) -> float:
        ids = [tokenizer.bos_token_id, *tokenizer(after + text, add_special_tokens=False)["input_ids"]]
        begin = 1 + len(tokenizer(after, add_special_tokens=False)["input_ids"])
        nats = 0.0
        for place in range(begin, len(ids)):
            piece_end = min(begin + ((place - begin) // stride + 1) * stride, len(ids))
            before = ids[max(0, piece_end - context) : place]
            with torch.inference_mode():
                logits = model(torch.tensor([before])).logits[0, -1].double()
            nats -= float(torch.log_softmax(logits, dim=-1)[ids[place]])
        return nats

    return loss


def _perplexity(model: Path, out: Path, *words: str) -> dict[str, Any]:
    assert main(["perplexity", "--model", str(model), "--out", str(out), "--device", "cpu", *words]) == 0
    found: dict[str, Any] = json.loads((out / "perplexity.json").read_text())["sources"]
    return found


def test_texts_by_source_agree_with_one_token_at_a_time(
    tiny_model: Path, tmp_path: Path, reference: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "texts.jsonl"
    rows = [{"text": TEXTS[0], "source": "web"}, {"text": TEXTS[1], "meta": {"source": "arxiv"}}, {"no": "text"}]
    rows += [{"text": TEXTS[2], "source": "web"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = _perplexity(tiny_model, tmp_path / "out", "--texts", str(file))
    nats = [reference(text) for text in TEXTS]
    assert set(sources) == {"web", "arxiv", "all"}
    assert math.isclose(sources["arxiv"]["nats"], nats[1], rel_tol=1e-5)
    num_bytes = len(TEXTS[1].encode())
    assert sources["arxiv"]["bytes"] == sources["arxiv"]["tokens"] == num_bytes  # the tokenizer knows bytes alone
    assert math.isclose(sources["arxiv"]["bits_per_byte"], nats[1] / num_bytes / math.log(2), rel_tol=1e-5)
    assert sources["web"]["documents"] == 2
    assert math.isclose(sources["web"]["nats_per_document"], (nats[0] + nats[2]) / 2, rel_tol=1e-5)
    all_tokens = sum(len(text.encode()) for text in TEXTS)
    assert math.isclose(sources["all"]["token_perplexity"], math.exp(sum(nats) / all_tokens), rel_tol=1e-5)
    low, high = sources["all"]["token_perplexity_bootstrap95"]
    assert low <= sources["all"]["token_perplexity"] <= high
    assert "left out" in capsys.readouterr().err


def test_long_document_in_windows_scores_each_token_once(tiny_model: Path, tmp_path: Path, reference: Any) -> None:
    model = tmp_path / "short"
    shutil.copytree(tiny_model, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}))
    file = tmp_path / "long.txt"
    file.write_text(LONG)
    for stride, words in ((63, ()), (10, ("--stride", "10")), (1, ("--stride", "1"))):
        found = _perplexity(model, tmp_path / str(stride), "--texts", str(file), *words)["all"]
        assert found["tokens"] == len(LONG)
        assert math.isclose(found["nats"], reference(LONG, stride=stride, context=64), rel_tol=1e-5)


def test_pair_of_token_files_agrees_with_its_texts_and_end_tokens_do_not_count(
    tiny_model: Path, tmp_path: Path, reference: Any
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    with IndexedWriter(tmp_path / "pair", np.uint16) as writer:
        for text in TEXTS:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            writer.add_document(np.array([*ids, tokenizer.eos_token_id], dtype=np.uint16))
    found = _perplexity(tiny_model, tmp_path / "out", "--texts", str(tmp_path / "pair"))["pair"]
    assert found["documents"] == 3 and found["tokens"] == found["bytes"] == sum(len(text.encode()) for text in TEXTS)
    assert math.isclose(found["nats"], sum(map(reference, TEXTS)), rel_tol=1e-5)


def test_mixture_is_scored_source_by_source_in_the_split_that_is_asked_for(
    tiny_model: Path, tmp_path: Path, reference: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def shard(name: str, *texts: str) -> Shard:
        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        with IndexedWriter(tmp_path / name, np.uint16) as writer:
            for text in texts:
                writer.add_document(np.array(tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.uint16))
        num_tokens = sum(map(len, texts))
        return Shard(path=name, num_documents=len(texts), num_tokens=num_tokens, bin_sha256="", idx_sha256="")

    from transformers import AutoTokenizer

    sources = [
        MixtureSource(name=name, group="g", weight=0.5, epochs=1, splits={"test": shard(name, *texts)})
        for name, texts in (("arxiv", TEXTS[:2]), ("web", TEXTS[2:]))
    ]
    tokenizer = TokenizerInfo(kind="huggingface", path="t", sha256="", vocab_size=259, eod_id=2, dtype="uint16")
    mixture = Mixture(name="m", tokenizer=tokenizer, planned_tokens=9, sources=tuple(sources))
    mixture.write(tmp_path / "mixture.json")
    words = ("--texts", str(tmp_path / "mixture.json"))
    found = _perplexity(tiny_model, tmp_path / "out", *words)
    assert math.isclose(found["arxiv"]["nats"], reference(TEXTS[0]) + reference(TEXTS[1]), rel_tol=1e-5)
    assert math.isclose(found["web"]["nats"], reference(TEXTS[2]), rel_tol=1e-5)
    # --limit 1 once took the first document of the whole mixture, and no other source was scored.
    limited = _perplexity(tiny_model, tmp_path / "limited", *words, "--limit", "1")
    assert math.isclose(limited["arxiv"]["nats"], reference(TEXTS[0]), rel_tol=1e-5)
    assert limited["web"] == found["web"]
    arguments = ["--model", str(tiny_model), "--out", str(tmp_path / "no"), *words]
    assert main(["perplexity", *arguments, "--split", "validation"]) == 2
    assert "has no split 'validation', known are test" in capsys.readouterr().err
    assert main(["perplexity", *arguments, str(tmp_path / "web")]) == 2
    assert "two documents are called 0 of web" in capsys.readouterr().err


def test_solutions_of_benchmarks_are_scored_after_their_problems(
    tiny_model: Path, data_dir: Path, tmp_path: Path, reference: Any
) -> None:
    words = ("--tasks", "gsm8k", "--data", str(data_dir), "--limit", "1")
    found = _perplexity(tiny_model, tmp_path, *words)["gsm8k"]
    row = json.loads((data_dir / "gsm8k/main/test.jsonl").read_text().splitlines()[0])
    solution = f" {row['answer'].split('####')[0].strip()}"
    assert found["tokens"] == len(solution)
    assert math.isclose(
        found["nats"], reference(solution, after=f"Problem:\n{row['question']}\n\nSolution:"), rel_tol=1e-5
    )


def test_stopped_run_goes_on_and_other_settings_are_kept_apart(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    out = tmp_path / "out"
    first = _perplexity(tiny_model, out, "--texts", str(file))
    lines = (out / "documents.jsonl").read_text().splitlines(keepends=True)
    (out / "documents.jsonl").write_text("".join(lines[:2]) + lines[2][:9])
    again = _perplexity(tiny_model, out, "--texts", str(file))
    assert math.isclose(again["all"]["nats"], first["all"]["nats"], rel_tol=1e-6)
    assert len((out / "documents.jsonl").read_text().splitlines()) == 4
    file.write_text(file.read_text().replace("2 and 3 is 5", "2 and 3 is 6"))
    changed = _perplexity(tiny_model, out, "--texts", str(file))
    assert changed["all"]["documents"] == 3 and changed["all"]["nats"] != again["all"]["nats"]
    assert len((out / "documents.jsonl").read_text().splitlines()) == 5
    _perplexity(tiny_model, out, "--texts", str(file), "--stride", "7")
    assert len(list(out.glob("documents-*.jsonl"))) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "nothing to score"),
        (("--texts", "nowhere"), "wanted is the prefix of a .bin/.idx pair"),
        (("--tasks", "sat", "--limit", "0"), "--limit must be greater"),
        (("--tasks", "nothing"), "there is no benchmark"),
    ],
)
def test_wrong_options_end_with_2(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert main(["perplexity", "--model", str(tiny_model), "--out", str(tmp_path / "out"), *words]) == 2
    assert told in capsys.readouterr().err


def test_tokens_of_another_tokenizer_are_refused(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with IndexedWriter(tmp_path / "pair", np.uint16) as writer:
        writer.add_document(np.array([5, 40_000], dtype=np.uint16))
    words = ["--model", str(tiny_model), "--out", str(tmp_path / "out"), "--texts", str(tmp_path / "pair")]
    assert main(["perplexity", *words]) == 2
    assert "another tokenizer" in capsys.readouterr().err


def test_interval_of_equal_documents_is_their_value() -> None:
    losses = [DocumentLoss(source="s", id=str(n), sha="", nats=20.0, tokens=10, bytes=40) for n in range(50)]
    assert total(losses).interval == pytest.approx((math.exp(2), math.exp(2)))
    spread = [DocumentLoss(source="s", id=str(n), sha="", nats=10.0 + n % 21, tokens=10, bytes=40) for n in range(5000)]
    low, high = total(spread).interval
    # The ratio's standard error is that of the mean of nats, in units of tokens: s.d. 6.06 / 10 over the root of 5000.
    assert math.log(high / low) == pytest.approx(2 * 1.96 * 0.606 / math.sqrt(5000), rel=0.12)
