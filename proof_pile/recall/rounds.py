"""The rounds of a recall: which steps there are, what each is given, and when to stop.

OUT/steps/            step folders (llemma.core.steps)
OUT/collected/        NNNNNN.parquet, the pages of the last round
OUT/annotations.yml   the candidates' prefixes with what was decided, to be copied, mended and named in RECALL.yml
OUT/report.{html,md,json}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from llemma.core.errors import InputError
from llemma.core.files import read_json
from llemma.core.logging import get_logger
from llemma.core.steps import InputFile, OutputFile, Step, StepDirectory, Task, TaskRecord
from proof_pile.build.reading import InputHashes, source_steps
from proof_pile.build.recipe import Recipe, SourceRecipe
from proof_pile.recall import collecting, pages, ranking, samples, scoring, training
from proof_pile.recall.config import InputsConfig, RecallConfig

log = get_logger(__name__)
NUM_JUDGED = 200  # chosen by us: a share is then told within some 7 points
Run = Callable[[str, str, Sequence[tuple[Step, list[Task]]]], list[TaskRecord]]


@dataclass(frozen=True, kw_only=True)
class _Sources:
    """What the reading step of a build is asked to read."""

    sources: tuple[SourceRecipe, ...]
    shard_bytes: int


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a round left behind."""

    number: int
    trained: TaskRecord
    ranked: TaskRecord
    scores: tuple[OutputFile, ...]
    samples: tuple[OutputFile, ...]
    result: dict[str, Any]

    @property
    def taken(self) -> tuple[OutputFile, ...]:
        """The marks of the pages that were taken, one file for each file of the pool."""
        return tuple(output for output in self.ranked.outputs if output.name.startswith("taken."))


@dataclass(kw_only=True)
class Recall:
    """A recall in a folder: `rounds` grows while it runs."""

    config: RecallConfig
    base: Path
    out: Path
    annotations: dict[str, bool]
    hashes: InputHashes
    run: Run
    rounds: list[Round] = field(default_factory=list)
    stopped: str = ""

    def work(self) -> None:
        """Runs all rounds and collects the pages of the last one.  Raises InputError where seeds or pool are empty."""
        seeds = self._pages("seeds", self.config.seeds)
        pool_documents, pool = self._documents_and_pages("pool", self.config.pool)
        approved: list[str] = []
        for number in range(1, self.config.max_rounds + 1):
            found = self._round(number, seeds, pool_documents, pool, approved)
            self.rounds.append(found)
            result = found.result
            log.info("round %d: %d taken, %d new", number, result["taken"], result["new"])
            # A round that takes fewer pages than the one before holds none that is new: that alone is no end.
            if not result["taken"]:
                self.stopped = _nothing_taken(number, result, self.config)
                log.warning("%s", self.stopped)
                break
            settled = result["lost"] <= (1 - self.config.stop_overlap) * (result["taken"] + result["lost"])
            if number > 1 and settled and result["overlap"] >= self.config.stop_overlap:
                self.stopped = (
                    f"{100 * result['overlap']:.1f} % of round {number} had been taken before "
                    f"(stop_overlap: {self.config.stop_overlap:g})"
                )
                break
            approved = result["approved"]
        else:
            self.stopped = f"max_rounds: {self.config.max_rounds}"
        self._collect(pool_documents, pool)

    # ------------------------------------------------------------ documents

    def _documents_and_pages(self, name: str, section: InputsConfig) -> tuple[list[OutputFile], list[TaskRecord]]:
        source = SourceRecipe(name=name, inputs=section.inputs, filters=section.filters)
        reading = _Sources(sources=(source,), shard_bytes=self.config.shard_bytes)
        records = self.run(f"read {name}", name, source_steps(cast(Recipe, reading), self.base, self.hashes))
        self.hashes.save()
        documents = [record.output("documents.parquet") for record in records]
        if not sum(record.counts.get("documents", 0) for record in records):
            raise InputError(f"'{name}': no document is left after its filters")
        known = self.config.known
        step = Step(
            name=f"pages-{name}",
            version=pages.VERSION,
            function="proof_pile.recall.pages:run",
            params={
                "prefix_depth": self.config.domains.prefix_depth,
                "max_page_bytes": self.config.max_page_bytes,
                "known": known.model_dump(mode="json") if known else None,
            },
        )
        tasks = [
            Task(inputs=(file.as_input(),), label=record.label, args={"number": number})
            for number, (file, record) in enumerate(zip(documents, records, strict=True))
        ]
        return documents, self.run(f"lines of {name}", f"pages-{name}", [(step, tasks)])

    def _pages(self, name: str, section: InputsConfig) -> list[TaskRecord]:
        return self._documents_and_pages(name, section)[1]

    # ------------------------------------------------------------ rounds

    def _round(
        self,
        number: int,
        seeds: list[TaskRecord],
        documents: list[OutputFile],
        pool: list[TaskRecord],
        approved: list[str],
    ) -> Round:
        config = self.config
        before = self.rounds[-1].taken if self.rounds else ()
        train_step = Step(
            name="train",
            version=training.VERSION,
            function="proof_pile.recall.training:run",
            params={
                "training": config.training.model_dump(mode="json"),
                "max_positives": config.max_positives,
                "negatives_per_positive": config.negatives_per_positive,
                "seed": config.seed,
            },
        )
        args = {"seeds": len(seeds), "pool": len(pool), "round": number, "approved": approved}
        inputs = (*_files(seeds, "pages.arrow", "lines.bin"), *_files(pool, "pages.arrow", "lines.bin"))
        task = Task(inputs=(*inputs, *_inputs(before)), label=f"round {number}", args=args)
        (trained,) = self.run(f"round {number}: train", f"train-{number}", [(train_step, [task])])

        model = trained.output("model.bin").as_input()
        score_step = Step(name="score", version=scoring.VERSION, function="proof_pile.recall.scoring:run")
        tasks = [
            Task(inputs=(model, *_files([page], "pages.arrow", "lines.bin")), label=page.label, args={"number": n})
            for n, page in enumerate(pool)
        ]
        scored = self.run(f"round {number}: score", f"score-{number}", [(score_step, tasks)])
        scores = tuple(record.output("scores.bin") for record in scored)

        rank_step = Step(
            name="rank",
            version=ranking.VERSION,
            function="proof_pile.recall.ranking:run",
            params={
                "select": config.select.model_dump(mode="json"),
                "domains": config.domains.model_dump(mode="json", exclude={"annotations"}),
            },
        )
        pairs = [
            file
            for page, score in zip(pool, scores, strict=True)
            for file in (page.output("pages.arrow").as_input(), score.as_input())
        ]
        rank_args = {"pool": len(pool), "round": number, "annotations": self.annotations}
        task = Task(inputs=(*pairs, *_inputs(before)), label=f"round {number}", args=rank_args)
        (ranked,) = self.run(f"round {number}: rank", f"rank-{number}", [(rank_step, [task])])
        result = read_json(ranked.output("round.json").path)

        taken = [output for output in ranked.outputs if output.name.startswith("taken.")]
        sample_step = Step(
            name="samples",
            version=samples.VERSION,
            function="proof_pile.recall.samples:run",
            params={"num_shown": config.num_samples, "num_judged": NUM_JUDGED, "seed": config.seed},
        )
        tasks = [
            Task(
                inputs=(
                    file.as_input(),
                    *_files([page], "pages.arrow", "lines.bin"),
                    score.as_input(),
                    mark.as_input(),
                ),
                label=page.label,
                args={"threshold": result["threshold"], "round": number, "number": n},
            )
            for n, (file, page, score, mark) in enumerate(zip(documents, pool, scores, taken, strict=True))
        ]
        sampled = self.run(f"round {number}: samples", f"samples-{number}", [(sample_step, tasks)])
        return Round(
            number=number,
            trained=trained,
            ranked=ranked,
            scores=scores,
            samples=tuple(record.output("samples.json") for record in sampled),
            result=result,
        )

    def _collect(self, documents: list[OutputFile], pool: list[TaskRecord]) -> None:
        from proof_pile.recall.publishing import publish

        last = self.rounds[-1]
        step = Step(name="collect", version=collecting.VERSION, function="proof_pile.recall.collecting:run")
        tasks = [
            Task(
                inputs=(
                    file.as_input(),
                    page.output("pages.arrow").as_input(),
                    score.as_input(),
                    mark.as_input(),
                ),
                label=page.label,
                args={"number": number},
            )
            for number, (file, page, score, mark) in enumerate(
                zip(documents, pool, last.scores, last.taken, strict=True)
            )
        ]
        collected = self.run("collect", "collect", [(step, tasks)])
        publish(self, collected)


def _nothing_taken(number: int, result: dict[str, Any], config: RecallConfig) -> str:
    """Why the loop ends here, and what may help: no later round would have more to go on."""
    limits = [
        f"{name}: {value:,}"
        for name, value in (("min_score", config.select.min_score), ("max_tokens", config.select.max_tokens))
        if value is not None
    ]
    return (
        f"round {number} took no page: the highest of {result['pages']:,} scores is {result['highest']:.3f} "
        f"({', '.join(limits)}); more seeds, more 'epochs' or a higher 'rate' in 'training' make scores firmer"
    )


def _files(records: Sequence[TaskRecord], *names: str) -> tuple[InputFile, ...]:
    return tuple(record.output(name).as_input() for record in records for name in names)


def _inputs(outputs: Sequence[OutputFile]) -> tuple[InputFile, ...]:
    return tuple(output.as_input() for output in outputs)


def step_runner(root: Path, engine: Any, journal: Any) -> Run:
    """A function that runs what is not complete of some steps and returns all of their records in order."""

    def run(title: str, name: str, steps: Sequence[tuple[Step, list[Task]]]) -> list[TaskRecord]:
        directories = [StepDirectory.create(root, step, tasks) for step, tasks in steps]
        jobs = []
        for directory in directories:
            if damaged := directory.forget_damaged():
                log.warning("%s: %d tasks lost files that they had made", directory.step.name, len(damaged))
            jobs += [(directory, number) for number in directory.missing()]
        if jobs:
            with journal.stages((name, title, jobs)):
                engine.run(jobs, journal)
        return [record for directory in directories for record in directory.records()]

    return run
