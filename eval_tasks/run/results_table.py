"""The scores of a run as a table for people."""

from __future__ import annotations

from dataclasses import dataclass

from eval_tasks.catalog import PREFIX, Catalog
from llemma.core.schemas import EvalResults, TaskResult

MAX_MEMBERS = 20  # a larger family is shown in one row alone (chosen by us)


@dataclass(frozen=True)
class ScoreTable:
    """The scores of a run, printed as a table."""

    results: EvalResults
    catalog: Catalog

    def __str__(self) -> str:
        tasks = self.results.tasks
        families = [members for name, members in self.catalog.groups.items() if name in tasks]
        hidden = {member for members in families if len(members) > MAX_MEMBERS for member in members}
        shown = {name.removeprefix(PREFIX): task for name, task in tasks.items() if name not in hidden}
        width = max(map(len, shown))
        lines = [f"{'task':<{width}} {'n':>5}  {'greedy':>7}  {'95 % interval':<16}  {'vote':>16}  no answer"]
        for name, task in shown.items():
            vote = "" if task.majority is None else f"{100 * task.majority.accuracy:.1f} (maj@{task.majority.k})"
            interval = f"{100 * task.ci95[0]:.1f} to {100 * task.ci95[1]:.1f}"
            lines.append(
                f"{name:<{width}} {task.n:>5}  {100 * task.accuracy:>7.1f}  {interval:<16}  "
                f"{vote:>16}  {task.outcomes['NO_ANSWER']:>9}"
            )
            lines += _more_of(task)
        members_of_all = {member for members in families for member in members}
        names = [
            name.removeprefix(PREFIX)
            for name, task in tasks.items()
            if not task.comparable and name not in members_of_all
        ]
        if names:
            reasons = "not comparable with published scores (why: settings.tasks in results.json): "
            lines.append(reasons + ", ".join(names))
        return "\n".join(lines)


def _more_of(task: TaskResult) -> list[str]:
    lines = []
    if task.pass_at:
        shares = "  ".join(f"pass@{k} {100 * one.value:.1f}" for k, one in task.pass_at.items())
        lines.append(f"    {shares}")
    for title, spread in (("one sample", task.sample_seeds), ("vote", task.majority_seeds)):
        if spread is not None:
            mean_and_sd = f"{100 * spread.mean:.1f} ± {100 * spread.sd:.1f} (mean ± s.d.)"
            lines.append(f"    {title}, {len(spread.seeds)} seeds: {mean_and_sd}")
    return lines
