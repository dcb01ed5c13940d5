"""The last act of a build: what the steps made is put in its place, described and checked.

OUT/data/<source>/<split>.*   OUT/tokenizer/*   OUT/removed.parquet   OUT/quarantine.jsonl   OUT/recipe.yml
OUT/contamination.json   OUT/changed.parquet   (where benchmarks are given)
OUT/mixture.json   OUT/neox/<name>_data.yml   OUT/DATASHEET.md   OUT/manifest.json   OUT/record.json

The manifest is taken away first and written last: a folder that has one is a finished build.  record.json, alone of all
these files, holds times; its `state` says which recipe and tasks the folder was finished from.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llemma.core.errors import ConfigError, DamagedFileError, InputError, LlemmaError, WorkError
from llemma.core.files import atomic_path, read_json, stable_hash, write_bytes
from llemma.core.progress import progress
from llemma.core.records import installed_versions, write_record
from proof_pile.build.arguments import Order
from proof_pile.build.pipeline import Build, Stage, StageState, dropped_reasons, sum_counts
from proof_pile.build.stages.contamination import describe_contamination, publish_contamination
from proof_pile.build.stages.duplicates import describe_duplicates, publish_fingerprints
from proof_pile.build.stages.tokenizing import tokenizer_input
from proof_pile.manifest import SourceCounts
from proof_pile.publish.files import tallies

RECORD = "record.json"
TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
States = Sequence[tuple[Stage, StageState]]


def build_state(order: Order, states: States) -> str:
    """A hash of all that the finished files come from."""
    steps = [
        [directory.path.name, [task.key for task in directory.tasks]]
        for _, state in states
        for directory in state.directories
    ]
    recipe = order.build.recipe.model_dump(mode="json")
    return stable_hash([installed_versions(("llemma",)), recipe, order.recipe_path.read_text("utf-8"), steps])


def is_finished(order: Order, states: States) -> bool:
    """True if the folder was finished from just this state and all files of its manifest are there, at their sizes."""
    from proof_pile.manifest import Manifest

    out = order.build.out
    try:
        if read_json(out / RECORD)["state"] != build_state(order, states):
            return False
        files = Manifest.read(out).files
        return all((out / file.path).stat().st_size == file.bytes for file in files)
    except (InputError, DamagedFileError, KeyError, TypeError, OSError):
        return False


def finish(order: Order, states: States, seconds: float) -> None:
    """Writes everything outside OUT/steps.  Raises WorkError where the result does not hold together."""
    from proof_pile.datasheet import write_datasheet
    from proof_pile.manifest import write_manifest
    from proof_pile.mixture import write_mixture
    from proof_pile.publish.card import write_card
    from proof_pile.publish.files import publish_samples, publish_texts
    from proof_pile.publish.page import write_page
    from proof_pile.tokenize.merge import publish
    from proof_pile.verify import verify

    build, recipe, out = order.build, order.build.recipe, order.build.out
    warnings: list[str] = []
    with progress("finish", total=8) as bar:
        (out / "manifest.json").unlink(missing_ok=True)
        described = dict(build.by_source("describe"))
        hashes = publish(build.flat("merge"), out) | publish_texts(described, out)
        samples = publish_samples(build.flat("describe"), out, recipe.publish.samples, recipe.seed)
        bar.advance()
        tokenizer = publish_tokenizer(build, warnings)
        write_bytes(out / "recipe.yml", order.recipe_path.read_bytes())
        bar.advance()
        write_removed_and_quarantine(build)
        publish_contamination(build)
        publish_fingerprints(build)
        bar.advance()
        warnings += write_mixture(
            recipe.mixture, name=recipe.name, out=out, tokenizer=tokenizer, eod=recipe.tokenizer.eod, hashes=hashes
        )
        bar.advance()
        warnings += write_overlay(out, recipe.name)
        bar.advance()
        sources = source_counts(build)
        if not recipe.decontaminate.benchmarks:
            warnings.append("decontamination: no benchmark texts were given, so none were looked for")
        write_datasheet(out, name=recipe.name, sources=sources, warnings=warnings, settings=describe_settings(build))
        write_card(out, name=recipe.name, sources=sources)
        write_page(out, name=recipe.name, sources=sources, warnings=warnings, samples=samples)
        bar.advance()
        write_manifest(out, name=recipe.name, sources=sources, warnings=warnings, hashes=hashes)
        bar.advance()
        problems = verify(out)
        if problems:
            raise WorkError("the build does not hold together:\n" + "\n".join(problems))
        bar.advance()
    write_record(
        out / RECORD,
        kind="build",
        config=recipe.model_dump(mode="json"),
        outputs=[out / "manifest.json", out / "mixture.json"],
        counts={stage.name: state.num_tasks for stage, state in states},
        seconds=round(seconds, 3),
        state=build_state(order, states),
        recipe=str(order.recipe_path),
        warnings=warnings,
    )


def publish_tokenizer(build: Build, warnings: list[str]) -> str:
    """Puts the tokenizer into OUT/tokenizer and returns the path of its main file relative to OUT."""
    from llemma.core.text.export import hf_tokenizer_files

    folder = build.out / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    trained = build.flat("tokenizer")
    main = Path(tokenizer_input(build).path)
    files: dict[str, Path] = {}
    is_model = bool(trained) or main.suffix == ".model"
    if trained:
        files = {output.name: Path(output.path) for output in trained[0].outputs}
    elif is_model:
        files = {"tokenizer.model": main}
    else:
        files = {name: main.parent / name for name in TOKENIZER_FILES[2:] if (main.parent / name).is_file()}
        files["tokenizer.json"] = main
    for name, path in files.items():
        with atomic_path(folder / name) as temporary:
            shutil.copyfile(path, temporary)
    made = set(files)
    if is_model and not trained:
        try:
            hf_tokenizer_files(folder / "tokenizer.model", folder)
            made.update(TOKENIZER_FILES)
        except LlemmaError as error:
            warnings.append(f"tokenizer: no tokenizer.json could be made for it ({error})")
    for name in set(TOKENIZER_FILES) - made:
        (folder / name).unlink(missing_ok=True)
    return f"tokenizer/{'tokenizer.model' if is_model else 'tokenizer.json'}"


def write_removed_and_quarantine(build: Build) -> None:
    """Writes OUT/removed.parquet and OUT/quarantine.jsonl from the pieces that tasks left."""
    from proof_pile.consolidate import write_removed

    read = build.flat("read")
    with atomic_path(build.out / "removed.parquet") as temporary:
        write_removed(
            [record.output("dropped.parquet").path for record in read],
            [record.output("removed.parquet").path for record in build.flat("consolidate")],
            temporary,
        )
    with atomic_path(build.out / "quarantine.jsonl") as temporary, open(temporary, "wb") as whole:
        for record in read:
            with open(record.output("quarantine.jsonl").path, "rb") as piece:
                shutil.copyfileobj(piece, whole)


def write_overlay(out: Path, name: str) -> list[str]:
    """Has `llemma data-overlay` write the NeoX overlay of the mixture: only that part knows NeoX's keys.

    A mixture that NeoX cannot take, as of a corpus too small to have validation documents, is good for all other uses:
    then there is no overlay, and the warning that is returned says why.
    """
    target = out / "neox" / f"{name}_data.yml"
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "llemma", "data-overlay", str(out / "mixture.json"), "--out", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == ConfigError.exit_code:
        target.unlink(missing_ok=True)
        reason = done.stderr.strip().removeprefix("error: ").removeprefix(f"{out / 'mixture.json'}: ")
        return [f"no overlay for NeoX was written: {reason}"]
    if done.returncode:
        raise WorkError(f"the NeoX overlay could not be written: {done.stderr.strip().removeprefix('error: ')}")
    return []


def source_counts(build: Build) -> dict[str, SourceCounts]:
    """What became of each source's documents."""
    consolidated = dict(build.by_source("consolidate"))
    described = dict(build.by_source("describe"))
    result = {}
    for source, (name, records) in zip(build.recipe.sources, build.by_source("read"), strict=True):
        read, kept = sum_counts(records), sum_counts(consolidated[name])
        result[name] = SourceCounts(
            read=int(read["read"]),
            read_bytes=int(read["read_bytes"]),
            quarantined=int(read["quarantined"]),
            filtered=dropped_reasons(read),
            same_names=int(kept["same-name"]),
            exact_duplicates=int(kept["exact-duplicate"]),
            near_duplicates=int(kept["near-duplicate"]),
            contaminated=int(kept["contaminated"]),
            kept=int(kept["documents"]),
            kept_bytes=int(kept["bytes"]),
            **tallies(described[name]),
            description=source.description,
            licence=source.licence,
            origin=source.origin,
        )
    return result


def describe_settings(build: Build) -> dict[str, str]:
    """A line a step on how it was done, for the datasheet."""
    recipe = build.recipe
    lines: dict[str, Any] = dict(describe_duplicates(build))
    lines |= describe_contamination(build)
    lines["split"] = (
        f"by a hash of the document's id: {recipe.split.validation:.2%} validation, {recipe.split.test:.2%} test"
    )
    return lines
