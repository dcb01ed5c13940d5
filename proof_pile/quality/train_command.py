"""`python -m proof_pile.quality train`: a MathScore model from pages."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llemma.core.errors import InputError

if TYPE_CHECKING:
    from proof_pile.quality.train_config import MathScoreTraining


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration or the pages, and where the model goes."""
    parser.add_argument("config", nargs="?", metavar="T.yml", help="what to train on, and how (a YAML file)")
    parser.add_argument(
        "--shipped",
        action="store_true",
        help="make the model of this package again, from the sample and installed packages",
    )
    parser.add_argument(
        "--pages", nargs="+", default=[], metavar="PATH",
        help="pages as JSON lines, Parquet or text files, labelled by whether they have LaTeX commands",
    )  # fmt: skip
    parser.add_argument("--positive", nargs="+", default=[], metavar="PATH", help="pages known to be mathematics")
    parser.add_argument("--negative", nargs="+", default=[], metavar="PATH", help="pages known to be something else")
    parser.add_argument("--dim", type=int, help="numbers a row while training (default 256)")
    parser.add_argument("--word-ngrams", type=int, help="longest run of words with a row of its own (default 3)")
    parser.add_argument("--buckets", type=int, help="rows for runs of words (default 2000000)")
    parser.add_argument("--epochs", type=int, help="passes over the pages (default 3)")
    parser.add_argument("--min-count", type=int, help="words seen less often have no row (default 3)")
    parser.add_argument("--rate", type=float, help="learning rate at the beginning (default 0.1)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of lines (default 0)")
    parser.add_argument(
        "--out", required=True, metavar="MODEL.bin", help="the model; its record goes beside it, as .json"
    )


def run(args: argparse.Namespace) -> None:
    """Trains the model and says how good it is on the pages kept apart."""
    from pydantic import ValidationError

    from proof_pile.build.tables import print_table
    from proof_pile.quality.training import train_math_score

    out = Path(args.out)
    if out.suffix != ".bin":
        raise InputError(f"{out}: the model's name must end in .bin (its record will end in .json)")
    try:
        config, base, described = _order(args)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"--{str(first['loc'][-1]).replace('_', '-')}: {first['msg']}") from None
    record = train_math_score(config, base, out, described=described)
    held = record["held_out"]
    rows = [
        (threshold, _share(value["precision"]), _share(value["recall"]))
        for threshold, value in held["thresholds"].items()
    ]
    title = f"on {held['math']:,} lines of mathematics and {held['other']:,} others that were kept apart"
    print(title)
    print_table("", ("score above", "precision", "recall"), rows)
    print(f"{out}: {record['model']['bytes']:,} bytes, {record['words']:,} words, sha256 {record['model']['sha256']}")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _order(args: argparse.Namespace) -> tuple[MathScoreTraining, Path, dict[str, Any]]:
    from proof_pile.quality.fasttext.training import TrainingSettings
    from proof_pile.quality.train_config import (
        MathScoreTraining,
        inputs_of_paths,
        load_training,
        shipped_config,
    )

    given = {key: getattr(args, key) for key in ("dim", "word_ngrams", "buckets", "epochs", "min_count", "rate")}
    given = {key: value for key, value in given.items() if value is not None}
    paths = {key: getattr(args, key) for key in ("pages", "positive", "negative")}
    if args.shipped or args.config:
        if any(paths.values()) or given or (args.shipped and args.config):
            raise InputError("a configuration says everything: give it alone, or --pages, --positive and --negative")
        path = shipped_config() if args.shipped else Path(args.config)
        # A configuration's paths are relative to its own folder.
        config = load_training(path)
        return config, path.resolve().parent, {"config": path.name, **_text_versions(config)}
    if not (args.pages or (args.positive and args.negative)):
        raise InputError("name the pages to train on: T.yml, or --pages PATH, or --positive PATH with --negative PATH")
    config = MathScoreTraining(
        pages=inputs_of_paths(args.pages),
        positive=inputs_of_paths(args.positive),
        negative=inputs_of_paths(args.negative),
        training=TrainingSettings(**given),
        seed=args.seed,
    )
    return config, Path(), {key: [Path(p).name for p in value] for key, value in paths.items() if value}


def _text_versions(config: MathScoreTraining) -> dict[str, Any]:
    """Versions of the distributions whose text the readers take: with another version it is another model."""
    import importlib.metadata

    from llemma.core.records import installed_versions

    sections = [*config.pages, *config.positive, *config.negative]
    readers = [reader for section in sections for reader in section.inputs]
    names = {name for reader in readers for name in getattr(reader, "distributions", None) or ()}
    packages = {name for reader in readers for name in getattr(reader, "packages", None) or ()}
    if packages:
        of_package = importlib.metadata.packages_distributions()
        names |= {of_package[name.partition(".")[0]][0] for name in packages if name.partition(".")[0] in of_package}
    versions = installed_versions(sorted({re.sub(r"[-_.]+", "-", name).lower() for name in names}))
    return {"versions": {name: version for name, version in versions.items() if name != "python"}}
