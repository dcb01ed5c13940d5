"""The options that plan and run share, and the build that they describe."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llemma.core.errors import DamagedFileError, InputError, LlemmaError

if TYPE_CHECKING:
    from proof_pile.build.pipeline import Build

SAMPLE_OUT = "proof-pile-sample"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for: a build and the recipe file it comes from."""

    build: Build
    recipe_path: Path


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Adds --recipe, --out, --tokenizer and --eod."""
    parser.add_argument(
        "--recipe", metavar="R.yml", help="what to build (default: the sample that comes with this program)"
    )
    add_out_option(parser)
    parser.add_argument(
        "--tokenizer",
        metavar="PATH",
        help="a SentencePiece .model, a tokenizer.json or a folder with either, in place of the recipe's",
    )
    parser.add_argument("--eod", metavar="TOKEN", help="the tokenizer's token (text or id) that ends each document")


def add_out_option(parser: argparse.ArgumentParser) -> None:
    """Adds --out."""
    parser.add_argument("--out", metavar="DIR", help=f"folder of the build (default: ./{SAMPLE_OUT} for the sample)")


def parse_bytes(option: str, text: str) -> int:
    """A number of bytes such as 500MB, 8GB, 8GiB or 8000000000.  Raises InputError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", text.strip(), re.I)
    if found is None:
        raise InputError(f"{option} is '{text}', but must be a number of bytes, such as 8GB or 500MB")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** " KMGT".index(found[2].upper() or " "))


def sample_recipe() -> Path:
    """The recipe of the built-in sample."""
    import proof_pile

    return Path(proof_pile.__file__).parent / "sample" / "recipe.yml"


def is_build(out: Path) -> bool:
    """True if a build was begun in the folder, or finished there and its steps deleted to save room or to mend it."""
    from llemma.core.files import read_json

    if (out / "steps").is_dir():
        return True
    try:
        record = read_json(out / "record.json")
    except LlemmaError:
        return False
    return isinstance(record, dict) and record.get("kind") == "build" and "state" in record


def out_folder(args: argparse.Namespace) -> Path:
    """The folder of a build that exists.  Raises InputError where there is none."""
    out = Path(args.out or SAMPLE_OUT).resolve()
    if not is_build(out):
        raise InputError(f"{out}: no build was begun here: name its folder with --out, or run one first")
    return out


def read_order(args: argparse.Namespace) -> Order:
    """The build that the options describe.  Raises InputError where something is missing or wrong."""
    from proof_pile.build.pipeline import Build
    from proof_pile.build.reading import InputHashes
    from proof_pile.build.recipe import load_recipe
    from proof_pile.build.recipes_command import shipped_recipes
    from proof_pile.tokenize.config import TokenizerConfig

    if args.recipe and not args.out:
        raise InputError(f"{args.recipe}: say where to build it: --out DIR")
    if args.recipe in shipped_recipes() and not Path(args.recipe).exists():
        raise InputError(
            f"'{args.recipe}' comes with this program, but does not know where your files are: copy it with "
            f" python -m proof_pile.build recipes {args.recipe}  and name them in it"
        )
    recipe_path = Path(args.recipe).resolve() if args.recipe else sample_recipe()
    recipe = load_recipe(recipe_path)
    eod: str | int | None = recipe.tokenizer.eod
    if args.eod is not None:
        eod = int(args.eod) if args.eod.isascii() and args.eod.isdigit() else args.eod
    if args.tokenizer:
        given = TokenizerConfig(path=str(Path(args.tokenizer).expanduser().resolve()), eod=eod)
        recipe = recipe.model_copy(update={"tokenizer": given})
    elif args.eod is not None:
        raise InputError("--eod goes with --tokenizer: in a recipe, write it beside the tokenizer")
    out = Path(args.out or SAMPLE_OUT).resolve()
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: this is a file, the build needs a folder: give another --out")
    if out.is_dir() and not is_build(out) and any(out.iterdir()):
        raise InputError(f"{out}: this folder holds other files: give an empty or a new one as --out")
    build = Build(
        recipe=recipe,
        base=recipe_path.parent,
        out=out,
        hashes=InputHashes(out / "steps" / "input-hashes.json"),
    )
    if build.tokenizer_path is not None:
        from llemma.core.text.tokenizers import load_tokenizer

        try:
            load_tokenizer(build.tokenizer_path, recipe.tokenizer.eod)
        except DamagedFileError as error:  # it was given to us: the wrong file, not one that we lost
            raise InputError(str(error)) from None
    return Order(build=build, recipe_path=recipe_path)
