"""Whether a stage's optimizer state was saved by as many processes as will go on with it, and having it cut if not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from llemma.launch.places import checkpoints_folder, saved_checkpoint

_PIECE = re.compile(r"(?:bf16_)?zero_pp_rank_(\d+)_mp_rank_\d+_optim_states\.pt\Z")


def cut_anew(
    run: Path,
    stage: str,
    dp_size: int,
    python: str,
    say: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """Has a GPT-NeoX stage's last checkpoint cut for so many data-parallel processes; what went wrong, or None."""
    found = saved_checkpoint(run, stage)
    if found is None:
        return None
    saved = {match[1] for path in found[1].iterdir() if (match := _PIECE.match(path.name))}
    if not saved or len(saved) == dp_size:
        return None
    say(f"{found[1].name}: the optimizer's state is cut anew, from {len(saved)} parts into {dp_size}")
    root = checkpoints_folder(run, stage)
    words = [python, "-m", "llemma.checkpoint.repartition", str(root), "--data-parallel", str(dp_size)]
    code = subprocess.run(words, check=False, env=environment).returncode
    return f"the optimizer's state of {found[1]} could not be cut anew (code {code})" if code else None
