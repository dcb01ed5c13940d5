"""The ladder: skip, roll back with exclusion, stop."""

from __future__ import annotations

import dataclasses
import math

import pytest

from llemma.core.errors import InputError
from llemma.guard.ladder import Ladder, LadderPolicy
from llemma.guard.steps import GuardPolicy

POLICY = LadderPolicy(window=8, min_values=8, max_skips_in_a_row=2, max_rollbacks=2)


def bad(ladder: Ladder) -> str:
    return ladder.judge(math.nan, 1.0).action


def test_ladder_climbs_from_skip_to_roll_back_to_stop() -> None:
    ladder = Ladder(POLICY, can_roll_back=True)
    for step in range(8):
        ladder.judge(3.0 + step / 100, 1.0)
    saved = ladder.state()
    for returns in (1, 2):
        assert [bad(ladder), bad(ladder)] == ["skip", "roll-back"]
        ladder.went_back(saved, returns)
    verdicts = [ladder.judge(math.nan, 1.0) for _ in range(2)]
    assert [verdict.action for verdict in verdicts] == ["skip", "stop"]
    assert verdicts[1].reason.endswith("2 steps in a row were left out after going back 2 times")
    assert ladder.num_skipped == 6


def test_ladder_of_an_engine_that_cannot_go_back_stops_instead() -> None:
    ladder = Ladder(POLICY, can_roll_back=False)
    assert [bad(ladder), bad(ladder)] == ["skip", "stop"]


def test_ladder_after_a_return_judges_by_the_checkpoints_statistics() -> None:
    ladder = Ladder(POLICY, can_roll_back=True)
    for _ in range(8):
        ladder.judge(3.0, 1.0)
    saved = ladder.state()
    assert [ladder.judge(3.5, 1.0).action for _ in range(8)] == ["take"] * 8  # below the bound of 3.6
    state = ladder.state()
    assert ladder.judge(4.0, 1.0).action == "take"  # below the bound of 4.2
    ladder.went_back(saved, 1)
    assert ladder.judge(4.0, 1.0).action == "skip"
    ladder.went_back(state, 2)
    assert (ladder.judge(4.0, 1.0).action, ladder.num_rollbacks) == ("take", 2)


def test_policies_of_both_engines_have_the_same_settings_and_defaults() -> None:
    assert GuardPolicy().ladder_policy() == LadderPolicy()
    assert set(GuardPolicy.model_fields) == {field.name for field in dataclasses.fields(LadderPolicy)}


def test_policy_with_an_unknown_setting_is_refused() -> None:
    assert LadderPolicy.read({"window": 9}, "stage.json").window == 9
    with pytest.raises(InputError, match=r"stage\.json: 'guard' has no setting 'windows'; there are: grad_norm"):
        LadderPolicy.read({"windows": 9}, "stage.json")
