"""Fingerprints, their groups, pairs, clusters and marks of duplicates; and what is published of them for later builds.

Every plan lists all that its tasks read; a task that reads of all groups lists the catalogue in place of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llemma.core.errors import InputError
from llemma.core.steps import InputFile, Task, TaskRecord
from proof_pile.build.pipeline import Build, DocumentsFile, Stage, StepTasks, inputs_of, make_step

GROUP_FILES = 4  # chosen by us: about so many files a group, and more where there would be over MANY_GROUPS groups
MANY_GROUPS = 256


def fingerprint_params(build: Build) -> dict[str, Any]:
    """All that decides what fingerprints are equal: earlier builds must have the same."""
    from proof_pile.dedup.sketches import SKETCH_VERSION
    from proof_pile.words import WORDS_VERSION

    config = build.recipe.deduplicate
    near = config.near.fingerprint_params() if config.near else {"values": 0}
    versions = {"words": WORDS_VERSION, "sketches": SKETCH_VERSION}
    return {"near": config.near is not None, "exact": config.exact, "seed": build.recipe.seed, **near, **versions}


def file_groups(files: Sequence[DocumentsFile]) -> list[list[int]]:
    """Numbers of the documents files in groups; where a group ends is told by its last file alone.

    So a file that comes or goes changes its own group and no other.
    """
    size = GROUP_FILES
    while size * MANY_GROUPS < len(files):
        size *= 2
    groups: list[list[int]] = []
    group: list[int] = []
    for number, file in enumerate(files):
        group.append(number)
        draw = int.from_bytes(hashlib.blake2b(file.of.encode(), digest_size=8).digest(), "little")
        if draw % size == 0 or len(group) >= 4 * size:
            groups.append(group)
            group = []
    if group:
        groups.append(group)
    return groups


def describe_duplicates(build: Build) -> dict[str, str]:
    """How each kind of duplicate is found and which document stays, a line each, for the datasheet."""
    config = build.recipe.deduplicate
    stays = (
        "the document of the source named first in the recipe, there the longest, then the one with the smallest id, "
        "then the first in the input"
    )
    if config.against:
        earlier = ", ".join(dict.fromkeys(group["build"] for group in _earlier(build)[1]))
        stays = f"what stands in an earlier build ({earlier}), else {stays}"
    lines = {
        "same names": "documents of a source with the same name and other texts: the longest stays, then the first",
        "exact duplicates": "left in",
        "near-duplicates": "left in",
    }
    if config.exact:
        lines["exact duplicates"] = f"by content (half of its SHA-256), over all sources; of equal texts stays {stays}"
    if config.near:
        near = config.near
        lines["near-duplicates"] = (
            f"MinHash over shingles of {near.ngram} words, Jaccard similarity of {near.threshold:g} or more, over all "
            f"sources: {near.banding.describe(near.threshold)}; pairs whose estimate leaves room for doubt are counted "
            f"from their texts; of a cluster stays {stays}"
        )
    return lines


def _plan_fingerprints(build: Build) -> Sequence[StepTasks]:
    step = make_step("fingerprints", "proof_pile.dedup.fingerprints", **fingerprint_params(build))
    tasks = [
        Task(inputs=(file.documents,), label=file.record.label, args={"of": file.of})
        for file in build.documents_files()
    ]
    return [(step, tasks)]


def _group_label(number: int, groups: Sequence[object]) -> str:
    return f"group {number + 1} of {len(groups)}"


def _plan_runs(build: Build) -> Sequence[StepTasks]:
    from proof_pile.dedup.runs import FILES

    config = build.recipe.deduplicate
    prints = build.flat("fingerprints")
    files = build.documents_files()
    groups = file_groups(files)
    step = make_step(
        "fingerprint-groups",
        "proof_pile.dedup.runs",
        values=fingerprint_params(build)["values"],
        memory_mb=config.memory_mb,
    )
    tasks = [
        Task(
            inputs=tuple(prints[file].output(name).as_input() for file in group for name in FILES),
            label=_group_label(number, groups),
            args={"of": [files[file].of for file in group]},  # two groups of empty files have the same inputs
        )
        for number, group in enumerate(groups)
    ]
    return [(step, tasks)]


def _group_files(build: Build) -> list[list[dict[str, Any]]]:
    """What the catalogue says of each file of each group."""
    prints = build.flat("fingerprints")
    files = build.documents_files()
    return [
        [
            {
                "number": number,
                "rank": files[number].rank,
                "source": build.recipe.sources[files[number].rank].name,
                "documents": prints[number].counts["documents"],
            }
            for number in group
        ]
        for group in file_groups(files)
    ]


def _earlier(build: Build) -> tuple[list[InputFile], list[dict[str, Any]]]:
    from proof_pile.dedup.published import read_published

    config = build.recipe.deduplicate
    files: list[InputFile] = []
    groups: list[dict[str, Any]] = []
    seen: set[Path] = {build.out.resolve()}
    for name in config.against:
        folder = Path(name).expanduser()
        folder = (folder if folder.is_absolute() else build.base / folder).resolve()
        if folder in seen:
            which = "this build's own folder" if folder == build.out.resolve() else "named twice"
            raise InputError(f"{folder}: {which} ('deduplicate', 'against'): take it out")
        seen.add(folder)
        more_files, more_groups = read_published(folder, fingerprint_params(build))
        files += more_files
        groups += more_groups
    return files, groups


def check_against(build: Build) -> None:
    """Raises InputError where an earlier build cannot be compared against, before anything is done."""
    _earlier(build)


def _plan_catalogue(build: Build) -> Sequence[StepTasks]:
    from proof_pile.dedup.runs import FILES

    config = build.recipe.deduplicate
    files, groups = _earlier(build)
    inputs = tuple(record.output(name).as_input() for record in build.flat("fingerprint-groups") for name in FILES)
    step = make_step(
        "fingerprint-catalogue",
        "proof_pile.dedup.catalogue",
        values=fingerprint_params(build)["values"],
        exact=config.exact,
        memory_mb=config.memory_mb,
    )
    args = {"groups": _group_files(build), "earlier": groups}
    return [(step, [Task(inputs=(*inputs, *files), label="all groups", args=args)])]


def _catalogue(build: Build) -> tuple[TaskRecord, InputFile, InputFile]:
    record = build.flat("fingerprint-catalogue")[0]
    return record, record.output("catalogue.json").as_input(), record.output("same_names.bin").as_input()


def _plan_candidates(build: Build) -> Sequence[StepTasks]:
    from proof_pile.dedup.candidates import partitions_for

    config = build.recipe.deduplicate
    if not config.exact and config.near is None:
        return []
    record, catalogue, same_names = _catalogue(build)
    near = {"threshold": config.near.threshold, "values": config.near.banding.values} if config.near else {}
    count = partitions_for(record.counts["keys"], config.memory_mb)
    step = make_step(
        "duplicate-candidates",
        "proof_pile.dedup.candidates",
        exact=config.exact,
        near=config.near is not None,
        **near,
    )
    tasks = [
        Task(
            inputs=(catalogue, same_names),
            label=f"partition {number + 1} of {count}",
            args={"partition": number, "partitions": count},
        )
        for number in range(count)
    ]
    return [(step, tasks)]


def _plan_doubts(build: Build) -> Sequence[StepTasks]:
    config = build.recipe.deduplicate
    if config.near is None:
        return []
    _, catalogue, _ = _catalogue(build)
    inputs = (catalogue, *inputs_of(build.flat("duplicate-candidates"), "pairs.bin"))
    step = make_step("doubtful-documents", "proof_pile.dedup.doubts", memory_mb=config.memory_mb)
    return [(step, [Task(inputs=inputs, label="all pairs")])]


def _plan_shingles(build: Build) -> Sequence[StepTasks]:
    near = build.recipe.deduplicate.near
    if near is None:
        return []
    doubts = build.flat("doubtful-documents")[0]
    files = build.documents_files()
    groups = file_groups(files)
    params = fingerprint_params(build)
    step = make_step("shingles", "proof_pile.dedup.shingles", ngram=near.ngram, words=params["words"])
    tasks = [
        Task(
            inputs=(doubts.output(f"rows.{number:06d}.bin").as_input(), *(files[file].documents for file in group)),
            label=_group_label(number, groups),
            args={"of": [files[file].of for file in group]},
        )
        for number, group in enumerate(groups)
    ]
    return [(step, tasks)]


def _plan_clusters(build: Build) -> Sequence[StepTasks]:
    config = build.recipe.deduplicate
    candidates = build.flat("duplicate-candidates")
    if not candidates:
        return []
    _, catalogue, _ = _catalogue(build)
    shingles = tuple(
        record.output(name).as_input() for record in build.flat("shingles") for name in ("shingles.bin", "bounds.bin")
    )
    near = {"threshold": config.near.threshold} if config.near else {}
    step = make_step("duplicate-clusters", "proof_pile.dedup.clusters", memory_mb=config.memory_mb, **near)
    inputs = (catalogue, *inputs_of(candidates, "pairs.bin"), *shingles)
    return [(step, [Task(inputs=inputs, label="all clusters", args={"num_partitions": len(candidates)})])]


def _plan_marks(build: Build) -> Sequence[StepTasks]:
    _, catalogue, same_names = _catalogue(build)
    clusters = build.flat("duplicate-clusters")
    groups = file_groups(build.documents_files())
    tasks = []
    for number in range(len(groups)):
        removed = [record.output(f"removed.{number:06d}.bin").as_input() for record in clusters]
        tasks.append(
            Task(
                inputs=(catalogue, same_names, *removed),
                label=_group_label(number, groups),
                args={"group": number},
            )
        )
    return [(make_step("duplicate-marks", "proof_pile.dedup.marks"), tasks)]


FINGERPRINTS = Stage(name="fingerprints", title="hash words and contents", plan=_plan_fingerprints)
FINGERPRINT_GROUPS = Stage(name="fingerprint-groups", title="join fingerprints of many files", plan=_plan_runs)
CATALOGUE = Stage(
    name="fingerprint-catalogue", title="list all groups, find documents of one name", plan=_plan_catalogue
)
CANDIDATES = Stage(name="duplicate-candidates", title="find copies and near-copies", plan=_plan_candidates)
DOUBTS = Stage(name="doubtful-documents", title="list near-copies to be counted", plan=_plan_doubts)
SHINGLES = Stage(name="shingles", title="read near-copies again", plan=_plan_shingles)
CLUSTERS = Stage(name="duplicate-clusters", title="count, cluster, choose which stays", plan=_plan_clusters)
MARKS = Stage(name="duplicate-marks", title="mark what goes", plan=_plan_marks)
STAGES = (FINGERPRINTS, FINGERPRINT_GROUPS, CATALOGUE, CANDIDATES, DOUBTS, SHINGLES, CLUSTERS, MARKS)
"""From documents to marks, in their order."""


# ---------------------------------------------------------------- for later builds


def _plan_published(build: Build) -> Sequence[StepTasks]:
    """Each group's fingerprints without the documents that consolidation removed: it reads the same files of marks."""
    from proof_pile.dedup.catalogue import EARLIER_FILES

    files = build.documents_files()
    groups = file_groups(files)
    prints = build.flat("fingerprints")
    consolidated = build.flat("consolidate")
    step = make_step("published-fingerprints", "proof_pile.dedup.published", values=fingerprint_params(build)["values"])
    tasks = []
    for number, (group, record) in enumerate(zip(groups, build.flat("fingerprint-groups"), strict=True)):
        marks = [(place, item) for place, file in enumerate(group) for item in consolidated[file].inputs[1:]]
        tasks.append(
            Task(
                inputs=(
                    *(record.output(name).as_input() for name in EARLIER_FILES),
                    *(item for _, item in marks),
                ),
                label=_group_label(number, groups),
                args={
                    "files": [prints[file].counts["documents"] for file in group],
                    "marks": [place for place, _ in marks],
                    "of": [files[file].of for file in group],
                },
            )
        )
    return [(step, tasks)]


PUBLISHED_FINGERPRINTS = Stage(
    name="published-fingerprints", title="fingerprints for later builds", plan=_plan_published
)


def publish_fingerprints(build: Build) -> None:
    """Puts the fingerprints of the documents that stay into OUT/fingerprints, when all stages are complete."""
    from proof_pile.dedup.published import publish

    files = build.documents_files()
    sources = [[build.recipe.sources[files[file].rank].name for file in group] for group in file_groups(files)]
    records = build.flat("published-fingerprints")
    publish(records, sources, build.out, build.recipe.name, fingerprint_params(build))
