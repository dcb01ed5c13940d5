"""A run directory as a finished run leaves it, small, with hostile text in every place that a stranger can write."""

from __future__ import annotations

import json
import math
from pathlib import Path

from llemma.core.files import write_json
from llemma.core.schemas import (
    EvalResults,
    EvalSample,
    GeneratedText,
    MajorityAnswer,
    MajorityResult,
    MetricLine,
    Mixture,
    MixtureSource,
    RunRecord,
    SampledAnswer,
    Shard,
    StagePlan,
    TaskResult,
    TokenizerInfo,
    write_lines,
)

HOSTILE = '<script>alert("x")</script><img src=http://example.invalid/a.png onerror=alert(1)>\x00\u202e & $x<y$'
SOURCES = (
    ("arxiv", 0.2714, 410_000, 1.9),
    ("open-web-math", 0.5428, 230_000, 3.4),
    ("algebraic-stack", 0.1358, 120_000, 1.6),
    ("general-text", 0.02, 60_000, 0.5),
    ("general-code", 0.03, 40_000, 1.1),
)
OUTCOME_COUNTS = {"EQUAL": 6, "DIFFERENT": 31, "NO_ANSWER": 19, "UNPARSED": 3, "TIMED_OUT": 1}


def make_mixture(data: Path) -> Path:
    """mixture.json and manifest.json of a build."""

    def shard(name: str, split: str, tokens: int) -> Shard:
        return Shard(
            path=f"data/{name}/{split}",
            num_documents=max(1, tokens // 900),
            num_tokens=tokens,
            bin_sha256="b" * 64,
            idx_sha256="c" * 64,
        )

    Mixture(
        name="sample",
        tokenizer=TokenizerInfo(
            kind="sentencepiece",
            path="tokenizer/tokenizer.model",
            sha256="a" * 64,
            vocab_size=4096,
            eod_id=2,
            dtype="uint16",
        ),
        planned_tokens=3_000_000,
        sources=tuple(
            MixtureSource(
                name=name,
                group="proof-pile-2",
                weight=weight,
                epochs=epochs,
                splits={"train": shard(name, "train", tokens), "validation": shard(name, "validation", tokens // 200)},
            )
            for name, weight, tokens, epochs in SOURCES
        ),
    ).write(data / "mixture.json")
    counts = {
        name: {
            "read": 900,
            "quarantined": 2,
            "filtered": {"too long": 12, "digit share": 4, HOSTILE: 1},
            "exact_duplicates": 9,
            "near_duplicates": 14,
            "contaminated": 3,
            "kept": 857,
        }
        for name, *_ in SOURCES
    }
    write_json(data / "manifest.json", {"name": "sample", "sources": counts, "warnings": [f"few documents: {HOSTILE}"]})
    return data / "mixture.json"


def make_metrics(path: Path, stage: str, num_steps: int = 300) -> None:
    """metrics.jsonl with a falling loss, written as the trainer does."""
    lines = []
    for step in range(1, num_steps + 1):
        loss = 3.1 + 5.2 * math.exp(-step / 60) + 0.08 * math.sin(step * 1.7)
        warm, floor = min(1.0, step / 30), 0.033
        lr = 3e-3 * warm * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * step / num_steps)))
        lines.append(
            MetricLine(
                kind="train",
                stage=stage,
                iteration=step,
                loss=loss,
                lr=lr,
                grad_norm=1.0,
                tokens=step * 8192,
                tokens_per_s=31_000 + 900 * math.sin(step),
                seconds=step * 0.26,
            )
        )
        if step % 50 == 0 or step == 1:
            by_source = {name: loss + 0.2 * place for place, (name, *_) in enumerate(SOURCES)}
            lines.append(
                MetricLine(kind="validation", stage=stage, iteration=step, loss=loss + 0.1, by_source=by_source)
            )
    lines.append(MetricLine(kind="event", stage=stage, iteration=120, message=f"step skipped: {HOSTILE}"))
    write_lines(path, lines)


def make_texts(path: Path, stage: str) -> None:
    """samples.jsonl of a trainer that lets the model write every 25 steps."""
    write_lines(
        path,
        [
            GeneratedText(
                stage=stage,
                iteration=step,
                prompt=prompt,
                text=f"after {step} steps: {HOSTILE}",
                temperature=temperature,
            )
            for step in range(0, 301, 25)
            for prompt in ("Theorem 1.", HOSTILE)
            for temperature in (0.0, 0.8)
        ],
    )


def make_ledger(folder: Path) -> None:
    """A stage that went back once: of 100 s 20 are lost, and the second attempt began 5 s after the first ended."""
    events = [
        (0.0, "start", 0, {"processes": 1, "passed_over": []}),
        (80.0, "skip", 240, {"reason": "the loss is nan", "samples": [[10, 12]]}),
        (80.0, "roll-back", 240, {"to": 180, "reason": "the loss is nan", "excluded": [[10, 12]]}),
        (95.0, "reached", 280, {}),
        (100.0, "start", 280, {"processes": 1, "passed_over": []}),
        (105.0, "finish", 300, {}),
    ]
    lines = [{"time": time, "event": event, "iteration": at, **facts} for time, event, at, facts in events]
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def make_evaluation(folder: Path, label: str, right: int, majority: int) -> None:
    """results.json and samples.jsonl of one evaluation."""
    outcomes = {
        **OUTCOME_COUNTS,
        "EQUAL": right,
        "DIFFERENT": OUTCOME_COUNTS["DIFFERENT"] + OUTCOME_COUNTS["EQUAL"] - right,
    }
    vote = MajorityResult(k=majority, accuracy=0.15, ci95=(0.08, 0.26)) if majority else None
    EvalResults(
        model=f"runs/demo/{label}",
        model_sha256="d" * 64,
        tasks={
            "llemma_builtin": TaskResult(
                n=60,
                accuracy=right / 60,
                ci95=(0.04, 0.21) if right else (0.0, 0.06),
                outcomes=outcomes,
                majority=vote,
                prompt_origin="own prompt",
                comparable=False,
            )
        },
        versions={"python": "3.11.7", "torch": "2.13.0", "lm-eval": "0.4.13"},
        seconds=31.0,
        settings={},
    ).write(folder / "results.json")
    samples = []
    for outcome, number in outcomes.items():
        for place in range(number):
            answered = outcome not in ("NO_ANSWER",)
            samples.append(
                EvalSample(
                    task="llemma_builtin",
                    id=f"{outcome.lower()}-{place}",
                    gold=r"\frac{17}{12}",
                    problem=r"A number $r$ makes the quotient $\frac{3r-1}{r+4}$ come out to exactly three fifths.",
                    completion=f"We see that {HOSTILE} and so on. " * 3,
                    answer=r"\frac{3}{4}" if answered else None,
                    outcome=outcome,
                    reason="values differ" if outcome == "DIFFERENT" else "",
                    samples=(SampledAnswer(completion="12", answer="12", outcome="DIFFERENT"),) * majority,
                    majority=MajorityAnswer(answer="12", outcome="DIFFERENT", votes=2) if majority else None,
                )
            )
    write_lines(folder / "samples.jsonl", samples)


def make_run(root: Path, *, planned_only: bool = False) -> Path:
    """A run directory below `root`; with `planned_only`, as it stands right after `llemma plan`."""
    run = root / "run"
    mixture = root / "data" / "mixture.json" if planned_only else make_mixture(root / "data")
    RunRecord(
        name="demo",
        created="2026-01-05T12:00:00+00:00",
        recipe={"name": "demo"},
        mixture=str(mixture),
        stages=(StagePlan(name="continued pretraining", directory="stages/01-cpt", iterations=300, tokens=300 * 8192),),
        estimates={
            "parameters": {"embedding": 786_432, "total": 3_300_000},
            "gpu_hours": 0.02,
            "num_gpus": 1,
            "mfu": 0.4,
            "peak_tflops": 2.0,
            "stages": [
                {
                    "name": "continued pretraining",
                    "flops_per_token_square": 21_000_000,
                    "gpu_hours": 0.02,
                    "memory_per_gpu_bytes": {"weights": 13_200_000, "total": 210_000_000},
                    "checkpoint_bytes": 39_600_000,
                }
            ],
        },
        versions={"python": "3.11.7", "llemma": "0.1.0"},
    ).write(run)
    if planned_only:
        return run
    make_metrics(run / "train" / "01-cpt" / "metrics.jsonl", "cpt")
    make_texts(run / "train" / "01-cpt" / "samples.jsonl", "cpt")
    make_ledger(run / "train" / "01-cpt")
    make_evaluation(run / "eval" / "before", "before", right=0, majority=0)
    make_evaluation(run / "eval" / "after", "after", right=6, majority=4)
    stages = [
        ("build the data", 61.2, 90),
        ("make a tiny base model", 4.0, 15),
        ("contract its RoPE base to 1e4", 3.1, 10),
        ("plan the run", 1.2, 5),
        ("continue pretraining", 96.0, 110),
        ("convert to GPT-NeoX and back", 9.5, 15),
        ("score before and after", 55.0, 50),
    ]
    write_json(
        run / "demo.json",
        {
            "stages": [
                {"name": name, "seconds": seconds, "budget_s": budget, "finished": True}
                for name, seconds, budget in stages
            ]
        },
    )
    return run


def append_text(path: Path, text: str) -> None:
    """Adds text to a file, as a killed writer would have left it."""
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
