"""`python -m eval_tasks run`: scores a model on benchmarks, greedily and by majority vote.

Writes into --out: results.json (llemma.core.schemas.EvalResults), samples.jsonl (EvalSample, one line a problem)
and generations/ (what the model said, one journal a task and pass, so that a run that was stopped goes on from there
and a finished one is only judged anew).  Results of other settings in the same folder are kept under another name.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `run`."""
    parser.add_argument(
        "--model",
        required=True,
        type=Path,
        metavar="DIR",
        help="a Hugging Face model folder, or a NeoX checkpoint; with local-completions the name on the server",
    )
    parser.add_argument("--tasks", default="builtin", help="names with commas between (default: %(default)s)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--majority",
        type=_number_of_votes,
        default=0,
        metavar="K",
        help="also sample K answers a problem and let them vote; 'published': each task's own K of Llemma's paper",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N problems of each task")
    parser.add_argument(
        "--data",
        "--data-dir",
        dest="data_dir",
        type=Path,
        metavar="DIR",
        help="folder with local copies of the data sets (default: the Hugging Face hub); `list` names the files",
    )
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
    parser.add_argument(
        "--seeds",
        type=_numbers,
        default=(1234,),
        metavar="N,N",
        help="of sampling; with several, scores are given as mean and s.d. (default: 1234)",
    )
    parser.add_argument(
        "--policy",
        default="standard",
        help="of the grader: standard, strict, lenient, minerva (the published metric, with its faults) or hendrycks "
        "(default: %(default)s); what was generated is only judged anew",
    )
    parser.add_argument(
        "--backend", default="hf", help="what runs the model: hf, vllm or local-completions (default: %(default)s)"
    )
    parser.add_argument("--base-url", metavar="URL", help="of the server's completions, for local-completions")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="the served model's tokenizer and config.json")
    parser.add_argument(
        "--concurrency", type=int, default=8, metavar="N", help="requests to a server at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--sandbox",
        default="auto",
        help="what shuts programs in: namespaces, bwrap, landlock or unprotected (default: the first of the machine's)",
    )


def _number_of_votes(text: str) -> int | str:
    return text if text == "published" else int(text)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted whole numbers with commas between, found '{text}'") from None


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
        seeds=args.seeds,
        backend=args.backend,
        base_url=args.base_url,
        tokenizer=args.tokenizer,
        concurrency=args.concurrency,
        sandbox=args.sandbox,
        policy=args.policy,
    )
    results = score_run(plan_run(settings))
    print(results)
