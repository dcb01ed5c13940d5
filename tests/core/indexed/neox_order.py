"""Writes the samples that a GPT-NeoX checkout draws to BUILD_DIR/answer.json; test_neox_order.py runs it.

NeoX's own dataset files are loaded unchanged. Only what they import of the rest of NeoX (its model-parallel groups and
its printing) is replaced, and `torch.cuda.LongTensor`, which they call on machines without a GPU too.

Usage: neox_order.py NEOX_DIR CASE.json BUILD_DIR
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import numpy as np
import torch


def compile_helpers(source: Path, build: Path) -> None:
    target = build / f"helpers{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = [sysconfig.get_paths()["include"], str(Path(torch.__file__).parent / "include")]
    flags = [f"-I{folder}" for folder in includes]
    command = ["g++", "-O2", "-shared", "-std=c++17", "-fPIC", *flags, str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    spec = importlib.util.spec_from_file_location("helpers", target)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["megatron.data.helpers"] = module


def main(neox: Path, case_path: Path, build: Path) -> None:
    case = json.loads(case_path.read_text())
    torch.cuda.LongTensor = torch.LongTensor
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=torch.distributed.HashStore())
    package = types.ModuleType("megatron")
    package.__path__ = [str(neox / "megatron")]
    package.print_rank_0 = lambda *_: None
    package.mpu = types.ModuleType("megatron.mpu")
    package.mpu.get_io_parallel_group = lambda: None
    package.mpu.get_data_parallel_rank = lambda: 0
    sys.modules.update({"megatron": package, "megatron.mpu": package.mpu, "megatron.mpu.initialize": package.mpu})
    compile_helpers(neox / "megatron" / "data" / "helpers.cpp", build)
    data = importlib.import_module("megatron.data")
    data.helpers = sys.modules["megatron.data.helpers"]

    indexed_dataset = importlib.import_module("megatron.data.indexed_dataset")
    gpt2_dataset = importlib.import_module("megatron.data.gpt2_dataset")
    blendable_dataset = importlib.import_module("megatron.data.blendable_dataset")
    data_utils = importlib.import_module("megatron.data.data_utils")
    weights, counts = data_utils.get_normalized_weights_and_num_samples(case["weights"], case["num_samples"])
    datasets = []
    for number, (prefix, count) in enumerate(zip(case["prefixes"], counts, strict=True)):
        indexed = indexed_dataset.make_dataset(prefix, "mmap", True)
        documents = np.arange(len(indexed.sizes), dtype=np.int32)
        name, seq_length, seed = f"train_{number}", case["seq_length"], case["seed"]
        datasets.append(gpt2_dataset.GPT2Dataset(name, prefix, documents, indexed, count, None, seq_length, seed))
    blend = blendable_dataset.BlendableDataset(datasets, weights)
    samples = [blend[i]["text"].tolist() for i in range(min(len(blend), case["num_samples"]))]
    answer = {
        "length": len(blend),
        "samples": samples,
        "counts": counts,
        "document_index": [dataset.doc_idx.tolist() for dataset in datasets],
        "sample_index": [dataset.sample_idx.tolist() for dataset in datasets],
        "shuffle_index": [dataset.shuffle_idx.tolist() for dataset in datasets],
    }
    (build / "answer.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
