"""Shards for SFT, DPO and KTO: aligned, divided by question, taken by the planner, and by GPT-NeoX."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from neox_runs import call_inside, needs_neox

from llemma.core.indexed import IndexedReader
from llemma.core.schemas import Mixture
from llemma.core.text.tokenizers import load_tokenizer
from llemma.plan.compile import Plan, Request, compile_plan
from llemma.plan.rundir import write_run
from neox_configs import config_path
from proof_pile.build.cli import main

IGNORED = -100


def records(count: int) -> list[dict[str, Any]]:
    """Questions with a right answer, a wrong one, and whether `completion` is right; each question three times."""
    return [
        {
            "prompt": f"What is the sum of {n // 3} and two primes?",
            "completion": f"It is {n // 3 + 2 + n % 2}.",
            "label": n % 2 == 0,
            "chosen": f"It is {n // 3 + 2}.",
            "rejected": f"we add {n // 3 + n % 3 + 3}.",
        }
        for n in range(count)
    ]


def write_lines(path: Path, values: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


@pytest.fixture
def make(tmp_path: Path, llama_like: Path) -> Callable[..., Path]:
    """Makes shards of an input with the command and returns their mixture.json."""

    def made(source: Path, *words: str, name: str = "out", code: int = 0) -> Path:
        out = tmp_path / name
        common = ["--tokenizer", str(llama_like), "--seq-length", "64", "--validation-share", "0.2"]
        assert main(["conversations", f"answers={source}", *common, "--out", str(out), *words]) == code
        return out / "mixture.json"

    return made


BESIDE = {"sft": ["labels"], "kto": ["labels", "rewards"], "dpo": ["labels", "rejected", "rejected_labels"]}


@pytest.mark.parametrize("objective", BESIDE)
def test_shards_of_an_objective_go_together_document_by_document(
    objective: str, make: Callable[..., Path], tmp_path: Path, llama_like: Path
) -> None:
    mixture = Mixture.read(make(write_lines(tmp_path / "in.jsonl", records(60)), "--objective", objective))
    tokenizer = load_tokenizer(llama_like)
    questions: dict[str, set[str]] = {}
    found = []
    for split, shard in mixture.sources[0].splits.items():
        names = [name for name in ("labels", "rewards", "rejected", "rejected_labels") if getattr(shard, name)]
        assert names == BESIDE[objective]
        tokens = IndexedReader(tmp_path / "out" / shard.path)
        beside = {name: IndexedReader(tmp_path / "out" / getattr(shard, name).path) for name in names}
        assert all(reader.num_documents == shard.num_documents for reader in beside.values())
        for number in range(shard.num_documents):
            ids, labels = tokens.get(number), beside["labels"].get(number)
            text = tokenizer.decode(ids.tolist())
            question, answer = text.removeprefix("Problem:\n").split("\n\nSolution:\n")
            questions.setdefault(split, set()).add(question)
            assert tokenizer.decode([n for n in labels.tolist() if n != IGNORED]) == answer
            entry = {"prompt": question, "completion": answer}
            if objective == "kto":
                entry["label"] = {1: True, -1: False}[int(beside["rewards"].get(number)[0])]
            if objective == "dpo":
                lost = tokenizer.decode(beside["rejected"].get(number).tolist())
                wrong = [n for n in beside["rejected_labels"].get(number).tolist() if n != IGNORED]
                assert lost == f"Problem:\n{question}\n\nSolution:\n{tokenizer.decode(wrong)}"
                entry = {"prompt": question, "chosen": answer, "rejected": tokenizer.decode(wrong)}
            found.append(json.dumps(entry))
    keys = list(json.loads(found[0]))
    assert sorted(found) == sorted(json.dumps({key: record[key] for key in keys}) for record in records(60))
    assert not questions["train"] & questions["validation"]
    assert [source.weight for source in mixture.sources] == [1.0]


def test_parquet_and_json_lines_give_the_same_bytes(make: Callable[..., Path], tmp_path: Path) -> None:
    lines = make(write_lines(tmp_path / "in.jsonl", records(60)), name="a")
    pq.write_table(pa.Table.from_pylist(records(60)), tmp_path / "in.parquet")
    assert Mixture.read(make(tmp_path / "in.parquet", name="b")).sources == Mixture.read(lines).sources


def test_longer_conversations_are_dropped_or_cut_and_counted(
    make: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long_answer, long_question = "so we add " * 40, "What is " * 60
    extra = [{"prompt": "two?", "completion": long_answer}, {"prompt": long_question, "completion": "2."}]
    source = write_lines(tmp_path / "in.jsonl", [*extra, *records(60), {"prompt": "no answer"}])
    dropped = Mixture.read(make(source, name="a"))
    output = capsys.readouterr().out
    assert "2 dropped: longer-than-the-sequence" in output and "1 dropped: no-answer" in output
    cut = Mixture.read(make(source, "--longer", "cut", name="b"))
    assert "1 dropped: answer-behind-the-cut" in capsys.readouterr().out
    documents = [sum(s.num_documents for s in mixture.sources[0].splits.values()) for mixture in (dropped, cut)]
    assert documents == [60, 61]
    sizes = [IndexedReader(tmp_path / "b" / s.path).sizes.max() for s in cut.sources[0].splits.values()]
    assert max(sizes) == 65
    record = json.loads((tmp_path / "b/record.json").read_text())
    assert record["sources"]["answers"]["cut"] == 1
    assert json.loads((tmp_path / "b/quarantine.jsonl").read_text())["reason"] == "no-answer"


@pytest.mark.parametrize(
    ("lines", "words", "message"),
    [
        (records(60), ["--validation-share", "0.0000001"], "no conversation fell to validation"),
        ([{"text": "x"}], [], "nothing of 'answers' can be trained on (no-question 1)"),
        (records(60), ["--weight", "others=2"], "wanted NAME=W, a source (answers) and a number above 0"),
        (records(60), ["--format", "alpaka"], "there is no format 'alpaka'"),
        (records(60), ["--seq-length", "1"], "must be at least 2"),
    ],
)
def test_order_that_cannot_be_carried_out_is_refused_and_leaves_nothing(
    lines: list[dict[str, Any]],
    words: list[str],
    message: str,
    make: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(write_lines(tmp_path / "in.jsonl", lines), *words, code=2)
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["in.jsonl"]


def test_folder_that_holds_something_is_not_written_into(
    make: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_lines(tmp_path / "in.jsonl", records(60))
    before = make(source).read_bytes()
    make(source, "--seed", "2", code=2)
    assert "this exists already" in capsys.readouterr().err
    assert (tmp_path / "out/mixture.json").read_bytes() == before


def plan_of(objective: str, data: Path, folder: Path, vocabulary: int) -> Plan:
    """A stage of two iterations of a small model over these shards, documents kept apart where they are packed."""
    model = config_path("models", "tiny").read_text()
    for old, new in (("num_layers: 4", "num_layers: 2"), ("256\n", "64\n"), (": 4096 ", f": {vocabulary} ")):
        assert old in model
        model = model.replace(old, new)
    (folder / "small.yml").write_text(model.replace("mlp_multiple_of: 64", "mlp_multiple_of: 256"))
    packing = "  packing: isolated\n" if objective == "sft" else ""
    (folder / "recipe.yml").write_text(
        f"title: T\nmodel: small.yml\ntraining: smoke_cpu_{objective}\ncluster: cpu\n"
        f"start: {'noise' if objective == 'sft' else 'checkpoint'}\nstages:\n"
        f"- name: one\n  objective: {objective}\n{packing}  epochs: 1\n"
        "  learning_rate: {shape: constant, peak: 1e-3}\n"
    )
    return compile_plan(Request(recipe=str(folder / "recipe.yml"), data=data))


@pytest.mark.parametrize("objective", BESIDE)
def test_planner_takes_the_shards(objective: str, make: Callable[..., Path], tmp_path: Path, llama_like: Path) -> None:
    data = make(write_lines(tmp_path / "in.jsonl", records(60)), "--objective", objective)
    plan = plan_of(objective, data, tmp_path, load_tokenizer(llama_like).vocab_size)
    assert plan.problems == []


BATCH = """
from megatron.data.data_utils import build_train_valid_test_data_loaders
neox_args.iteration = 0
sample = next(iter(build_train_valid_test_data_loaders(neox_args)["train"]))
batch = training._get_batch(neox_args, neox_args.tokenizer, ["text", "label"], sample, torch.int64)
tokens, labels, loss_mask, attention_mask, position_ids = batch
model = training.get_model(neox_args).eval()
with torch.no_grad():
    logits = model((tokens, position_ids, attention_mask))
each = torch.nn.functional.cross_entropy(logits.float().transpose(1, 2), labels, reduction="none")
found["each"] = each.tolist()
from megatron.model.gpt2_model import cross_entropy
found["loss"] = cross_entropy(logits, (labels, loss_mask), _fp16=False).item()
found["text"] = sample["text"].tolist()
found["counted"] = loss_mask.tolist()
"""


@needs_neox
def test_neox_counts_the_loss_of_answers_alone(make: Callable[..., Path], tmp_path: Path, llama_like: Path) -> None:
    """Packed by NeoX itself; which positions are answers is told from the text, not from the labels."""
    data = make(write_lines(tmp_path / "in.jsonl", records(60)))
    tokenizer = load_tokenizer(llama_like)
    plan = plan_of("sft", data, tmp_path, tokenizer.vocab_size)
    assert plan.problems == []
    write_run(plan, tmp_path / "run")
    found = call_inside(tmp_path / "run", BATCH, ["packing"])
    boundary = tokenizer.encode("?\n\nSolution:\n")[len(tokenizer.encode("?\n")) :]
    losses = []
    for text, each, counted in zip(found["text"], found["each"], found["counted"], strict=True):
        is_answer = [False] * len(text)
        for at in range(1, len(text)):
            is_answer[at] = text[at - len(boundary) : at] == boundary or (
                is_answer[at - 1] and text[at - 1] != tokenizer.eod_id
            )
        assert [bool(number) for number in counted] == is_answer[1:]
        losses += [loss for loss, is_counted in zip(each, is_answer[1:], strict=True) if is_counted]
    assert 0 < len(losses) < len(found["text"]) * 64 / 2
    assert found["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
