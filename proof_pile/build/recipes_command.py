"""proof-pile recipes: which recipes come with this program, and a copy of one to edit."""

from __future__ import annotations

import argparse
from pathlib import Path

from llemma.core.errors import InputError

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the name of a recipe and where its copy goes."""
    parser.add_argument("name", nargs="?", help="copy this one (left out: list all)")
    parser.add_argument("--to", metavar="R.yml", type=Path, help="where the copy goes (default: ./NAME.yml)")


def run(args: argparse.Namespace) -> int:
    """Lists the recipes, or copies one.  Raises InputError where it would write over a file."""
    from proof_pile.build.tables import print_table

    recipes = shipped_recipes()
    if args.name is None:
        print_table("", ("recipe", "what it is"), [(name, _title(path)) for name, path in recipes.items()], num_text=2)
        print("\na copy to edit:  python -m proof_pile.build recipes NAME")
        return 0
    if args.name not in recipes:
        raise InputError(f"there is no recipe '{args.name}'; there are: {', '.join(recipes)}")
    target = args.to or Path(f"{args.name}.yml")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(recipes[args.name].read_text(encoding="utf-8"))
    except FileExistsError:
        raise InputError(f"{target}: this file exists already: name another with --to") from None
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror})") from None
    print(f"{target}: name your own files in it, then  python -m proof_pile.build --recipe {target} --out DATA")
    return 0


def shipped_recipes() -> dict[str, Path]:
    """The recipes by name."""
    return {path.stem: path for path in sorted(RECIPES.glob("*.yml"))}


def _title(path: Path) -> str:
    """The first line of its comment."""
    first = path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("#").strip()
    return first.rstrip(":.")
