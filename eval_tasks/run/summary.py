"""The scores of judged problems: greedy, by majority vote, pass@k, over several seeds, by level and subject."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from eval_tasks.intervals import bootstrap_interval, mean_and_sd, pass_at_k, wilson_interval
from eval_tasks.scoring import OUTCOMES
from llemma.core.schemas import EvalSample, MajorityResult, PassAtK, SeedSpread, TaskResult


@dataclass(frozen=True, kw_only=True)
class JudgedProblem:
    """One problem with its verdicts, and whether each seed's vote elected a right answer."""

    sample: EvalSample
    votes: tuple[bool, ...]


def summarize(
    judged: Sequence[JudgedProblem], *, seeds: Sequence[int], prompt_origin: str, comparable: bool
) -> TaskResult:
    """The scores of judged problems; every problem counts, whatever became of its answer."""
    n = len(judged)
    samples = [one.sample for one in judged]
    counts = Counter(sample.outcome for sample in samples)
    majority = pass_at = sample_seeds = majority_seeds = None
    if seeds:
        votes = [one.votes[0] for one in judged]
        k = len(samples[0].samples) // len(seeds)
        majority = MajorityResult(
            k=k,
            accuracy=sum(votes) / n,
            ci95=wilson_interval(sum(votes), n),
            bootstrap95=bootstrap_interval(votes),
        )
        right = {seed: [_num_right(sample, seed) for sample in samples] for seed in seeds}
        pass_at = _pass_at(right[seeds[0]], k)
        if len(seeds) > 1:
            sample_seeds = _spread(seeds, [sum(right[seed]) / (n * k) for seed in seeds])
            majority_seeds = _spread(
                seeds, [sum(one.votes[place] for one in judged) / n for place in range(len(seeds))]
            )
    return TaskResult(
        n=n,
        accuracy=counts["EQUAL"] / n,
        ci95=wilson_interval(counts["EQUAL"], n),
        bootstrap95=bootstrap_interval([sample.outcome == "EQUAL" for sample in samples]),
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        majority=majority,
        pass_at=pass_at,
        sample_seeds=sample_seeds,
        majority_seeds=majority_seeds,
        by=_by(samples) or None,
        prompt_origin=prompt_origin,
        comparable=comparable,
    )


def _num_right(sample: EvalSample, seed: int) -> int:
    return sum(one.seed == seed and one.outcome == "EQUAL" for one in sample.samples)


def _pass_at(right: Sequence[int], num_samples: int) -> dict[str, PassAtK]:
    """pass@1, 2, 4, ... and of all samples."""
    ks = sorted({*(2**power for power in range(num_samples.bit_length()) if 2**power <= num_samples), num_samples})
    found = {}
    for k in ks:
        values = [pass_at_k(num_samples, count, k) for count in right]
        found[str(k)] = PassAtK(value=sum(values) / len(values), bootstrap95=bootstrap_interval(values))
    return found


def _spread(seeds: Sequence[int], values: Sequence[float]) -> SeedSpread:
    mean, sd = mean_and_sd(values)
    return SeedSpread(seeds=tuple(seeds), values=tuple(values), mean=mean, sd=sd)


def _by(samples: Sequence[EvalSample]) -> dict[str, dict[str, tuple[int, float]]]:
    """The share of right answers for each level and each subject, where there are several."""
    found = {}
    for name in ("level", "subject"):
        parts: dict[str, list[bool]] = defaultdict(list)
        for sample in samples:
            parts[getattr(sample, name)].append(sample.outcome == "EQUAL")
        if len(parts) > 1:
            found[name] = {part: (len(right), sum(right) / len(right)) for part, right in sorted(parts.items())}
    return found
