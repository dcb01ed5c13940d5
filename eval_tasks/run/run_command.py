"""`python -m eval_tasks run`: scores a model on benchmarks, greedily and by majority vote.

Writes into --out: results.json (llemma.core.schemas.EvalResults), samples.jsonl (EvalSample, one line a problem)
and generations/ (what the model said, one file a task and pass, so that a run that was stopped goes on from there
and a finished one is only judged anew).
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `run`."""
    parser.add_argument(
        "--model", required=True, type=Path, metavar="DIR", help="a Hugging Face model folder, or a NeoX checkpoint"
    )
    parser.add_argument("--tasks", default="builtin", help="names with commas between (default: %(default)s)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--majority", type=int, default=0, metavar="K", help="also sample K answers a problem and let them vote"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N problems of each task")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="folder with local copies of the data sets")
    parser.add_argument("--prompts", type=Path, metavar="DIR", help="folder with prompts of your own, BENCHMARK.yaml")
    parser.add_argument("--shots", type=int, metavar="N", help="worked examples in the prompt (default: the task's)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="prompts at a time (default: by the model's size)")
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: cuda where there is one)")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16 (default: float32 on a CPU, else the model's)")
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="length of an answer (default: 1024, or half the model's context)",
    )
    parser.add_argument("--temperature", type=float, help="of sampling for --majority (default: the task's)")
    parser.add_argument("--top-p", type=float, help="of sampling for --majority (default: the task's)")
    parser.add_argument("--seed", type=int, default=1234, help="of sampling (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Plans the run, generates what is missing, judges, writes and prints the scores."""
    from eval_tasks.run.plan import Settings, plan_run
    from eval_tasks.run.scored_run import score_run

    settings = Settings(
        model=args.model,
        tasks=tuple(word.strip() for word in args.tasks.split(",") if word.strip()),
        out=args.out,
        majority=args.majority,
        limit=args.limit,
        data_dir=args.data_dir,
        prompts_dir=args.prompts,
        shots=args.shots,
        batch_size=args.batch_size,
        device=args.device,
        dtype=args.dtype,
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        seed=args.seed,
    )
    results = score_run(plan_run(settings))
    print(results)
