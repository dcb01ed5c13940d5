"""How a stage is laid out on the nodes that came: fewer processes make more micro-batches each, the batch stays."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from llemma.core.config import load_yaml
from llemma.core.files import write_text
from llemma.launch.places import launch_folder
from llemma.launch.preflight import LaunchStage
from llemma.neox.overlays import render


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Nodes, processes on them, and micro-batches that each adds up in a step."""

    nodes: int
    processes: int
    dp_size: int
    accumulation: int


def layout_for(stage: LaunchStage, nodes: int, processes_per_node: int) -> Layout | None:
    """The layout on at most so many nodes that keeps the global batch and the parallel sizes; None if there is none.

    The number of GPUs stays a multiple of tensor x pipeline parallel, and the global batch of micro-batch x
    data-parallel, so some nodes may stay idle: of 7, a batch of 64 uses 4.
    """
    config = stage.config
    parallel = config.model_parallel_size * max(1, config.pipe_parallel_size)
    for used in range(nodes, 0, -1):
        processes = used * processes_per_node
        dp_size, rest = divmod(processes, parallel)
        if rest or not dp_size:
            continue
        accumulation, rest = divmod(config.global_batch_size, config.train_micro_batch_size_per_gpu * dp_size)
        if not rest and accumulation:
            return Layout(nodes=used, processes=processes, dp_size=dp_size, accumulation=accumulation)
    return None


def config_for(stage: LaunchStage, layout: Layout, run: Path) -> Path:
    """The neox.yml of a layout, with its stage.json beside it: the planned one, or one written for fewer processes."""
    if layout.processes == stage.config.global_num_gpus:
        return stage.config_path
    folder = launch_folder(run) / "layouts" / f"{stage.compiled.directory}-{layout.processes}"
    values = dict(load_yaml(stage.config_path).value)
    values["global_num_gpus"] = layout.processes
    values["gradient_accumulation_steps"] = layout.accumulation
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(stage.config_path.parent / "stage.json", folder / "stage.json")
    header = [
        f"As {stage.config_path}, for {layout.processes} processes in place of {stage.config.global_num_gpus}:",
        f"accumulation {layout.accumulation} in place of {stage.config.gradient_accumulation_steps}.",
    ]
    write_text(folder / "neox.yml", render(values, header))
    return (folder / "neox.yml").resolve()
