"""Published layouts of questions and answers, and what is no example."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from proof_pile.conversations.records import Example, Keys, Turn, example_of, list_files, read_examples
from proof_pile.documents import Quarantined

Q, A, B = "What is 2 + 2?", "It is 4.", "It is 5."
ONE = (Turn("user", Q), Turn("assistant", A))
OTHER = (Turn("user", Q), Turn("assistant", B))
SYSTEM = Turn("system", "Be brief.")


@pytest.mark.parametrize(
    ("record", "turns"),
    [
        ({"prompt": Q, "completion": A}, ONE),  # TRL
        ({"query": Q, "response": A, "type": "GSM_Rephrased"}, ONE),  # MetaMathQA
        ({"question": Q, "answer": A}, ONE),  # GSM8k
        ({"instruction": Q, "input": "", "output": A}, ONE),  # Alpaca
        ({"instruction": "Add.", "input": "2, 2", "output": A}, (Turn("user", "Add.\n\n2, 2"), ONE[1])),  # Alpaca
        ({"problem": Q, "solution": "other", "messages": [{"role": "user", "content": Q},
          {"role": "assistant", "content": A}]}, ONE),  # NuminaMath
        ({"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]}, ONE),  # ShareGPT
        ({"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A},
          {"from": "human", "value": "thanks"}]}, ONE),  # nothing answers the last turn
        ({"system": "Be brief.", "prompt": Q, "response": A}, (SYSTEM, *ONE)),
        ({"prompt": [{"role": "user", "content": Q}], "completion": [{"role": "assistant", "content": A}]}, ONE),  # TRL
    ],
)  # fmt: skip
def test_record_of_a_known_layout_becomes_its_turns(record: dict[str, Any], turns: tuple[Turn, ...]) -> None:
    assert example_of(record, "sft", Keys()) == Example(turns=turns)


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": Q, "chosen": A, "rejected": B},  # TRL
        {"prompt": Q, "chosen": [{"role": "assistant", "content": A}],
         "rejected": [{"role": "assistant", "content": B}]},  # TRL, as turns
        {"prompt": Q, "chosen": [{"role": "user", "content": Q}, {"role": "assistant", "content": A}],
         "rejected": [{"role": "user", "content": Q}, {"role": "assistant", "content": B}]},  # UltraFeedback
        {"messages": [{"role": "user", "content": Q}], "chosen": A, "rejected": B},
    ],
)  # fmt: skip
def test_record_of_a_pair_becomes_two_conversations(record: dict[str, Any]) -> None:
    assert example_of(record, "dpo", Keys()) == Example(turns=ONE, rejected=OTHER)


@pytest.mark.parametrize(
    ("label", "wanted"), [(True, True), (False, False), (1, True), (0, False), (-1, False), (0.7, True)]
)
def test_record_with_a_label_is_wanted_or_not(label: object, wanted: bool) -> None:
    found = example_of({"prompt": Q, "completion": A, "label": label}, "kto", Keys())
    assert found == Example(turns=ONE, wanted=wanted)


@pytest.mark.parametrize(
    ("record", "objective", "reason"),
    [
        ([Q, A], "sft", "no-object"),
        ({"text": "no question"}, "sft", "no-question"),
        ({"prompt": Q}, "sft", "no-answer"),
        ({"prompt": Q, "response": " "}, "sft", "empty-turn"),
        ({"messages": [{"role": "tool", "content": "4"}]}, "sft", "unknown-role"),
        ({"messages": ["hello"]}, "sft", "turn-is-no-object"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "sft", "turn-has-no-text"),
        ({"messages": [{"role": "assistant", "content": A}]}, "sft", "no-question"),
        ({"prompt": Q, "completion": A}, "kto", "no-label"),
        ({"prompt": Q, "completion": A, "label": "good"}, "kto", "no-label"),
        ({"prompt": Q, "completion": A, "label": float("nan")}, "kto", "no-label"),
        ({"prompt": Q, "chosen": A, "rejected": A}, "dpo", "chosen-is-rejected"),
        ({"prompt": Q, "chosen": A}, "dpo", "no-answer"),
    ],
)
def test_record_that_cannot_be_used_says_why(record: object, objective: Any, reason: str) -> None:
    assert example_of(record, objective, Keys()) == reason


def test_question_is_what_stands_before_the_first_answer() -> None:
    longer = Example(turns=(SYSTEM, *ONE, Turn("user", "And 3 + 3?"), Turn("assistant", "6")))
    assert longer.question == Example(turns=(SYSTEM, Turn("user", Q), OTHER[1])).question


def test_bad_lines_and_a_broken_stream_are_quarantined_with_their_place(tmp_path: Path) -> None:
    good = json.dumps({"prompt": Q, "completion": A}).encode()
    (tmp_path / "a.jsonl").write_bytes(good + b"\n{oops\n\n" + good + b"\n")
    packed = gzip.compress(good + b"\n" + b"x" * 500_000)
    (tmp_path / "b.jsonl.gz").write_bytes(packed[:-20])
    (tmp_path / "c.parquet").write_bytes(b"PAR1 no more")
    found = [item for file in list_files(".", tmp_path) for item in read_examples(file, "sft", Keys())]
    assert [item for item in found if isinstance(item, Example)] == [Example(turns=ONE)] * 3
    bad = [item for item in found if isinstance(item, Quarantined)]
    assert next((item.path, item.line) for item in bad) == ("a.jsonl", 2)
    assert {item.path: item.reason.split(":")[0] for item in bad} == {
        "a.jsonl": "no JSON", "b.jsonl.gz": "unreadable", "c.parquet": "damaged Parquet",
    }  # fmt: skip
