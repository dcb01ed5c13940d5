"""`llemma convert`: a checkpoint between Hugging Face's, GPT-NeoX's and Meta's layouts, proven tensor by tensor."""

from __future__ import annotations

import argparse
from pathlib import Path

_EXAMPLES = """examples:
  llemma convert CodeLlama-7b-hf OUT --tp 2           Hugging Face -> GPT-NeoX on 2 ranks
  llemma convert RUN/checkpoints OUT                  GPT-NeoX, its newest step -> Hugging Face
  llemma convert OUT OUT8 --to neox --tp 8            from 2 ranks to 8, without a detour
  llemma convert RUN/checkpoints OUT8 --to neox --tp 8 --optimizer keep
                                                      the same, and training goes on where it was
  llemma convert llama-2-7b OUT --max-positions 4096  Meta's consolidated files -> Hugging Face
  llemma convert OUT --verify                         check what was written, every byte of it

A conversion that was killed goes on when the same command is given again, to the same bytes.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma convert`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "source", type=Path, help="folder with the checkpoint, in any of the three layouts, or one global_step of it"
    )
    parser.add_argument("out", type=Path, nargs="?", help="folder to write; it must not exist yet")
    parser.add_argument(
        "--to",
        choices=("hf", "neox", "meta"),
        help="layout to write (default: neox for a Hugging Face checkpoint, hf for the others)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="convert nothing: check every file and tensor of SOURCE, a folder that this command wrote",
    )
    parser.add_argument(
        "--tensor-parallel",
        "--tp",
        type=int,
        metavar="N",
        help="tensor-parallel ranks of the GPT-NeoX checkpoint, or files of Meta's (default: 1; see --config)",
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
        help="pad the vocabulary to a multiple of N x ranks (GPT-NeoX's make_vocab_size_divisible_by; default: that "
        "of a GPT-NeoX source or of --config, else 1)",
    )
    parser.add_argument(
        "--max-positions",
        type=int,
        metavar="N",
        help="positions that a source of Meta's was made for (Llama 2: 4096, Code Llama: 16384)",
    )
    parser.add_argument(
        "--optimizer",
        choices=("drop", "keep"),
        default="drop",
        help="whether the optimizer state of a GPT-NeoX source (ZeRO 1 or 2) is left out (default) or goes along to "
        "the new number of ranks, so that training goes on",
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything and say what would be done")


def run(args: argparse.Namespace) -> int:
    """Converts or verifies, and says what was done."""
    from llemma.checkpoint.conversion import convert
    from llemma.checkpoint.journal import JOURNAL_NAME
    from llemma.checkpoint.planning import Request, partial_folder, plan_conversion
    from llemma.core.errors import InputError

    if args.verify:
        return _verify(args)
    if args.out is None:
        raise InputError("name the folder to write:  llemma convert SOURCE OUT  (or check a folder with --verify)")
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
            max_positions=args.max_positions,
            hf_files=args.hf_files,
            optimizer=args.optimizer,
        )
    )
    print("\n".join(plan.lines()), flush=True)
    if args.dry_run:
        print("  nothing was written (--dry-run)")
    else:
        if (partial_folder(plan.request.out) / JOURNAL_NAME).is_file():
            print(
                "  an unfinished conversion is there; if it was this one, it goes on where it was stopped", flush=True
            )
        print(f"  written: {args.out}, record: {convert(plan)}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from llemma.checkpoint.verification import verify
    from llemma.core.errors import InputError

    if args.out is not None:
        raise InputError(f"--verify writes nothing, so that {args.out} is one folder too many")
    _need_packages()
    found = verify(args.source)
    print(
        f"{args.source}: {found.num_files} files ({found.num_bytes:,} bytes) and {found.num_tensors} tensors "
        f"are as they were written\n  SHA-256 of the weights: {found.weights_sha256}"
    )
    return 0


def _need_packages() -> None:
    import importlib.util

    from llemma.core.errors import MissingPackageError

    for package in ("torch", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError(package, "train")
