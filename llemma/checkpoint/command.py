"""`llemma convert`: a checkpoint from Hugging Face's layout to GPT-NeoX's and back, proven tensor by tensor."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma convert`."""
    parser.add_argument("source", type=Path, help="folder with the checkpoint (either layout, or one global_step)")
    parser.add_argument("out", type=Path, help="folder to write; it must not exist yet")
    parser.add_argument(
        "--to", choices=("hf", "neox"), help="layout to write (default: the other one than the source's)"
    )
    parser.add_argument(
        "--tensor-parallel", "--tp", type=int, metavar="N", help="tensor-parallel ranks of the GPT-NeoX checkpoint"
    )
    parser.add_argument(
        "--rope-base",
        type=float,
        metavar="BASE",
        help="change the RoPE base, as Llemma 7B did from 1e6 to 1e4; recorded, and never done without this option",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="NEOX.yml",
        help="GPT-NeoX configuration of the source, or the one that the result must fit",
    )
    parser.add_argument("--step", metavar="N", help="step of the GPT-NeoX source (default: the one in 'latest')")
    parser.add_argument(
        "--hf-files",
        type=Path,
        metavar="FOLDER",
        help="Hugging Face folder whose config, tokenizer and generation config go with the weights",
    )
    parser.add_argument("--vocab-size", type=int, metavar="N", help="real vocabulary rows of a GPT-NeoX source")
    parser.add_argument(
        "--vocab-divisible-by",
        type=int,
        metavar="N",
        help="pad the vocabulary to a multiple of N x ranks (GPT-NeoX's make_vocab_size_divisible_by; default: 1)",
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything and say what would be done")


def run(args: argparse.Namespace) -> int:
    """Converts, and says what was done."""
    from llemma.checkpoint.conversion import convert
    from llemma.checkpoint.planning import Request, plan_conversion

    _need_packages()
    plan = plan_conversion(
        Request(
            source=args.source,
            out=args.out,
            to=args.to,
            tensor_parallel=args.tensor_parallel,
            vocab_divisible_by=args.vocab_divisible_by,
            config=args.config,
            step=args.step,
            rope_base=args.rope_base,
            vocab_size=args.vocab_size,
            hf_files=args.hf_files,
        )
    )
    print("\n".join(plan.lines()), flush=True)
    if not args.dry_run:
        print(f"  written: {args.out}, record: {convert(plan)}")
    return 0


def _need_packages() -> None:
    import importlib.util

    from llemma.core.errors import MissingPackageError

    for package in ("torch", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError(package, "train")
