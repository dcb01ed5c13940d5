"""What a launch needs on this machine: the run directory whole, the engine there, the data where the plan put them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from llemma.core.errors import InputError
from llemma.core.schemas import RunRecord
from llemma.neox.config import NeoxConfig
from llemma.stages import CompiledStage


@dataclass(frozen=True, kw_only=True)
class LaunchStage:
    """One stage of a run directory, read and typed."""

    compiled: CompiledStage
    config: NeoxConfig
    config_path: Path


def read_run(run: Path) -> list[LaunchStage]:
    """The stages of a run directory. Raises InputError or ConfigError where it is not whole."""
    record = RunRecord.read(run)
    stages = []
    for planned in record.stages:
        folder = run / planned.directory
        config_path = folder / "neox.yml"
        stages.append(
            LaunchStage(
                compiled=CompiledStage.read(folder / "stage.json"),
                config=NeoxConfig.from_yaml(config_path),
                config_path=config_path.resolve(),
            )
        )
    if not stages:
        raise InputError(f"{run}: the run has no stage")
    return stages


def launch_problems(stages: list[LaunchStage], run: Path) -> list[str]:
    """What would stop any engine: shards or tokenizer gone, the run moved away from where it was planned."""
    problems = []
    for stage in stages:
        config = stage.config
        for prefix in sorted(config.data_prefixes):
            files = (Path(prefix + suffix) for suffix in (".bin", ".idx"))
            problems += [f"{file}: this shard is not here" for file in files if not file.is_file()]
        if config.vocab_file is not None and not Path(config.vocab_file).is_file():
            problems.append(f"{config.vocab_file}: the tokenizer is not here")
        if config.save is not None and not Path(config.save).is_relative_to(run.resolve()):
            problems.append(f"{stage.config_path}: the run was planned for another place ({config.save}): plan it anew")
    return list(dict.fromkeys(problems))


def engine_of(run: Path, stage: CompiledStage) -> str | None:
    """The engine whose checkpoints a stage holds already, None where it holds none."""
    latest = run / "train" / stage.directory / "checkpoints" / "latest"
    if not latest.is_file():
        return None
    return "neox" if latest.read_text(encoding="utf-8", errors="replace").startswith("global_step") else "embedded"


def neox_problems(stages: list[LaunchStage], run: Path, neox_dir: Path | None, python: str) -> list[str]:
    """What would stop GPT-NeoX on this host."""
    if neox_dir is None:
        return ["--neox-dir (or the variable NEOX_DIR) is missing: name a clone of github.com/EleutherAI/gpt-neox"]
    problems = []
    if not (neox_dir / "megatron" / "neox_arguments" / "neox_args.py").is_file():
        problems.append(f"{neox_dir}: this is not a GPT-NeoX checkout")
    first = stages[0].compiled
    if first.start == "hf":
        tensor = stages[0].config.model_parallel_size
        problems.append(
            f"{first.init_from}: GPT-NeoX needs a checkpoint in its own layout: run  llemma convert {first.init_from} "
            f"OUT --to neox --tensor-parallel {tensor}  and plan again with --init-from OUT"
        )
    elif engine_of(run, first) is None:  # else it goes on from its own checkpoints
        problems += start_problems("neox", stages[0], None)
    if not _imports(python, "deepspeed"):
        problems.append(f"{python} cannot import deepspeed: name GPT-NeoX's own Python with --python (or NEOX_PYTHON)")
    return problems


def embedded_problems(stages: list[LaunchStage], run: Path) -> list[str]:
    """What would stop the embedded trainer; the rest it says itself."""
    first = stages[0].compiled
    if first.start == "neox":
        return [
            f"{stages[0].config.load}: the embedded trainer starts from a Hugging Face folder: run  llemma convert "
            f"{stages[0].config.load} OUT --to hf  and plan again with --init-from OUT"
        ]
    return start_problems("embedded", stages[0], None) if engine_of(run, first) is None else []


def start_problems(engine: str, stage: LaunchStage, start_from: str | None) -> list[str]:
    """What is missing of the checkpoint that a stage begins with: without it no engine may start from noise.

    `start_from` is the folder of checkpoints of the stage before, where it begins with one.
    """
    compiled, load = stage.compiled, stage.config.load
    if compiled.start == "stage":
        if start_from is None or not (Path(start_from) / "latest").is_file():
            return [f"{start_from}: there is no checkpoint of the stage that {compiled.directory} starts from"]
        return []
    if compiled.start == "hf" and engine == "embedded":
        if not (Path(compiled.init_from or "") / "config.json").is_file():
            return [f"{compiled.init_from}: the model to start from is not here"]
        return []
    if load is None or engine == "embedded":
        return []
    try:
        name = (Path(load) / "latest").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return [f"{load}: the checkpoint to start from is not here"]
    found = len(list((Path(load) / name).glob("mp_rank_*_model_states.pt")))
    wanted = stage.config.model_parallel_size
    if found != wanted:
        return [
            f"{Path(load) / name}: it has {found} files mp_rank_NN_model_states.pt, but tensor parallel {wanted} "
            "needs as many: convert it for that size"
        ]
    return []


def refuse(problems: list[str]) -> None:
    """Raises InputError with all problems, if there are any."""
    if problems:
        count = "one reason" if len(problems) == 1 else f"{len(problems)} reasons"
        raise InputError(f"this run cannot start here, for {count}:\n" + "\n".join(f"  {item}" for item in problems))


def _imports(python: str, package: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
