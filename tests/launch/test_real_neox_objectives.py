"""Fine-tuning, KTO and DPO in a real GPT-NeoX, by the commands that a user has, beside transformers' own numbers."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from neox_runs import call_inside, needs_neox

pytestmark = needs_neox
SIZES = {"cot": 192, "tir": 96, "kto": 64, "dpo": 48}  # records, of which some fall to validation
SEQ_LENGTHS = {"cot": 256, "tir": 128, "kto": 256, "dpo": 256}
EOD = 2
Log = dict[str, dict[int, dict[str, float]]]  # stage, iteration, name: what GPT-NeoX's log says


def record(number: int) -> dict[str, Any]:
    """A question with a right answer, a wrong one, and one of the two that `label` tells apart."""
    first, second = number, 3 * number % 17
    right, wrong = f"{first} plus {second} is {first + second}.", f"It is {first}, so we add {second + number % 3}."
    return {
        "prompt": f"What is the sum of {first} and {second}?",
        "completion": wrong if number % 3 == 0 else right,
        "label": number % 3 != 0,
        "chosen": right,
        "rejected": wrong,
    }


def llemma(*words: object, module: str = "llemma", code: int = 0) -> str:
    """What a command of this library prints."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def write_tokenizer(path: Path) -> None:
    """A SentencePiece vocabulary of 4,096 pieces, as many as the small model of the recipes has rows."""
    import random

    import sentencepiece

    chance = random.Random(5)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(6000)]
    texts = [f"Problem:\n{record(n)['prompt']}\n\nSolution:\n{record(n)['chosen']}" for n in range(200)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*texts, *words]),
        model_writer=model,
        vocab_size=4096,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())


def write_start(folder: Path, tokenizer: Path) -> None:
    """A Llama of the recipes' sizes in Hugging Face's layout; its weights wide enough for attention to matter."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=4096, hidden_size=192, num_hidden_layers=4, num_attention_heads=6, intermediate_size=512,
        max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=False, initializer_range=0.05,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, bos_token_id=1, eos_token_id=EOD,
        dtype="float32",
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer.model").write_bytes(tokenizer.read_bytes())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of the four kinds (cot, tir, kto, dpo), and the start in both layouts (hf, neox)."""
    folder = tmp_path_factory.mktemp("objectives")
    write_tokenizer(folder / "tokenizer.model")
    for name, size in SIZES.items():
        offset = 400 if name == "tir" else 0
        lines = [json.dumps(record(offset + number)) for number in range(size)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
        llemma(
            "conversations", f"{name}={folder / name}.jsonl", "--objective", name if name in ("kto", "dpo") else "sft",
            "--tokenizer", folder / "tokenizer.model", "--seq-length", SEQ_LENGTHS[name], "--validation-share", 0.2,
            "--out", folder / name, module="proof_pile.build",
        )  # fmt: skip
    write_start(folder / "hf", folder / "tokenizer.model")
    llemma("convert", folder / "hf", folder / "neox", "--to", "neox")
    return folder


def train(run: Path) -> Log:
    """Launches a run's stages and reads the log."""
    output = llemma("launch", run, "--engine", "neox")
    (run / "log.txt").write_text(output)
    return read_log(output, sorted(path.name for path in (run / "stages").iterdir()))


def read_log(output: str, names: list[str]) -> Log:
    """The steps of stages that were trained one after the other."""
    found: Log = {}
    before = math.inf
    for line in output.splitlines():
        match = re.search(r"iteration +(\d+)/", line)
        if match is None or "learning rate" not in line:
            continue
        iteration = int(match[1])
        if iteration <= before:
            steps = found[names[len(found)]] = {}
        before = iteration
        pairs = re.findall(r"(\w+): (-?[0-9.]+E[+-]\d+|nan|inf)", line)
        steps[iteration] = {name: float(value) for name, value in pairs}
    return found


ROWS = """
from megatron.data.data_utils import build_train_valid_test_data_loaders
neox_args.iteration = 0
sample = next(iter(build_train_valid_test_data_loaders(neox_args)["train"]))
for name, rows in sample.items():
    found[name] = rows.tolist()
"""


def documents(rows: list[list[int]]) -> Iterator[list[int]]:
    """The conversations in packed rows, each up to its end of document; padding is none."""
    for row in rows:
        begin = 0
        while EOD in row[begin:]:
            end = row.index(EOD, begin) + 1
            yield row[begin:end]
            begin = end


class Judge:
    """transformers on one conversation at a time, with the weights of a folder."""

    def __init__(self, folder: Path, tokenizer: Path) -> None:
        import sentencepiece
        from transformers import LlamaForCausalLM

        self.model = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
        self.processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))

    def answer_logps(self, ids: list[int]) -> list[float]:
        """Log probability of each token of the answer, which begins behind the line `Solution:`, and of its end."""
        import torch

        begin = next(at for at in range(len(ids)) if self.processor.decode(ids[:at]).endswith("Solution:\n"))
        with torch.no_grad():
            logps = self.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        return [float(logps[at - 1, ids[at]]) for at in range(begin, len(ids))]


def judge_of(root: Path, checkpoints: Path | None = None) -> Judge:
    """That of the start, or of a stage's last checkpoint, converted."""
    folder = root / "hf"
    if checkpoints is not None:
        folder = checkpoints.parent / "hf"
        if not folder.exists():
            llemma("convert", checkpoints, folder, "--to", "hf", "--hf-files", root / "hf")
    return Judge(folder, root / "tokenizer.model")


def first_rows(run: Path, stage_number: int) -> dict[str, list[list[int]]]:
    """The first batch that GPT-NeoX draws in a stage."""
    found: dict[str, list[list[int]]] = call_inside(
        run, ROWS, ["index-maps", "last-row", "packing"], stage_number=stage_number
    )
    return found


def falls(steps: dict[int, dict[str, float]], by: float) -> bool:
    """Whether the mean loss of the second half of the steps lies below the first loss by so much."""
    losses = [steps[at]["lm_loss"] for at in sorted(steps)]
    half = losses[len(losses) // 2 :]
    return sum(half) / len(half) < losses[0] - by


def plan_sft_kto(root: Path, start: str, run: Path) -> Path:
    """A run of small_sft_kto."""
    data = [word for name in ("cot", "tir", "kto") for word in ("--data", f"{name}={root / name / 'mixture.json'}")]
    llemma("plan", "small_sft_kto", *data, "--init-from", root / start, "--out", run)
    return run


@pytest.fixture(scope="module")
def planned(root: Path) -> Path:
    """The run of small_sft_kto."""
    return plan_sft_kto(root, "neox", root / "run-sft-kto")


def assert_embedded_trainer_makes_the_same_steps(run: Path, stage: str, steps: dict[int, dict[str, float]]) -> None:
    """Losses and what else both tell, step by step; GPT-NeoX prints six decimals."""
    lines = map(json.loads, (run / "train" / stage / "metrics.jsonl").read_text().splitlines())
    found = {line["iteration"]: line for line in lines if line["kind"] == "train"}
    assert found.keys() == steps.keys() and len(found) > 9
    for at, line in found.items():
        assert line["loss"] == pytest.approx(steps[at]["lm_loss"], abs=1e-5 if at == 1 else 1e-4), (stage, at)
        for name, value in (line.get("measures") or {}).items():
            assert value == pytest.approx(steps[at][name], abs=1e-3, rel=1e-4), (stage, at, name)


@pytest.fixture(scope="module")
def sft_kto(planned: Path) -> tuple[Path, Log]:
    """That run, trained, and its log."""
    return planned, train(planned)


@pytest.mark.parametrize(("number", "name", "before"), [(1, "01-cot", None), (2, "02-tir", "01-cot")])
def test_fine_tuning_begins_with_the_loss_of_the_answers_under_the_weights_before_it_and_learns(
    number: int, name: str, before: str | None, root: Path, sft_kto: tuple[Path, Log]
) -> None:
    run, log = sft_kto
    judge = judge_of(root, run / "train" / before / "checkpoints" if before else None)
    rows = first_rows(run, number)
    assert len(rows["text"]) == 4
    answers = [judge.answer_logps(ids) for ids in documents(rows["text"])]
    assert len(answers) > 8  # several in a row, none of which sees another
    counted = sum(label >= 0 for row in rows["label"] for label in row)
    assert counted == sum(map(len, answers))
    assert log[name][1]["lm_loss"] == pytest.approx(-sum(map(sum, answers)) / counted, rel=2e-5)
    assert falls(log[name], by=0.3)


def test_kto_begins_with_the_weights_of_fine_tuning_and_learns(root: Path, sft_kto: tuple[Path, Log]) -> None:
    run, log = sft_kto
    steps, rows = log["03-kto"], first_rows(run, 3)
    judge = judge_of(root, run / "train/02-tir/checkpoints")
    sums = [sum(judge.answer_logps(next(documents([row])))) for row in rows["text"]]
    assert steps[1]["policy_logp"] == pytest.approx(sum(sums) / 4, rel=2e-5)
    assert steps[1]["ref_logp"] == pytest.approx(sum(sums) / 4, rel=2e-5)
    assert steps[1]["lm_loss"] == pytest.approx(0.5, rel=1e-5)  # nothing differs yet: 1 - sigmoid(0)
    assert falls(steps, by=0.02)


def test_embedded_trainer_makes_the_same_steps_of_fine_tuning_and_kto(root: Path, sft_kto: tuple[Path, Log]) -> None:
    """The same weights and shards, three stages one after the other: what has drifted apart by then counts too."""
    run = plan_sft_kto(root, "hf", root / "run-embedded")
    llemma("train", run, "--threads", 1, "--device", "cpu")
    for stage, steps in sft_kto[1].items():
        assert_embedded_trainer_makes_the_same_steps(run, stage, steps)


def test_kto_that_was_interrupted_goes_on_against_the_same_reference(root: Path, sft_kto: tuple[Path, Log]) -> None:
    run, log = sft_kto
    stage = run / "train/03-kto"
    last = max(log["03-kto"])
    shutil.copytree(stage, root / "kept")
    outcomes = []
    for without in ((), ("--without-repair", "reference-model")):  # without it, NeoX's optimizers do not fit
        shutil.rmtree(stage)
        shutil.copytree(root / "kept", stage)
        shutil.rmtree(stage / f"checkpoints/global_step{last}")
        (stage / "checkpoints/latest").write_text("global_step10")
        outcomes.append(llemma("launch", run, "--engine", "neox", *without, code=1 if without else 0))
    found = read_log(outcomes[0], ["03-kto"])["03-kto"]
    assert sorted(found) == list(range(11, last + 1))
    for at, values in found.items():
        assert {name: values[name] for name in ("lm_loss", "ref_logp", "policy_logp")} == pytest.approx(
            {name: log["03-kto"][at][name] for name in ("lm_loss", "ref_logp", "policy_logp")}, rel=1e-5
        )
    assert "doesn't match the size of optimizer's group" in outcomes[1]


def test_dpo_begins_with_the_weights_of_its_start_and_learns_on_one_tensor_rank_as_on_two(root: Path) -> None:
    llemma("convert", root / "hf", root / "neox2", "--to", "neox", "--tensor-parallel", 2)
    logs = []
    for cluster, start in (("cpu", "neox"), ("cpu_tp2", "neox2")):
        words = ("--data", root / "dpo/mixture.json", "--init-from", root / start, "--cluster", cluster)
        llemma("plan", "small_dpo", *words, "--out", root / f"run-dpo-{cluster}")
        logs.append(train(root / f"run-dpo-{cluster}")["01-dpo"])
    steps, rows, judge = logs[0], first_rows(root / "run-dpo-cpu", 1), judge_of(root)
    for sign in ("pos", "neg"):
        sums = [sum(judge.answer_logps(next(documents([row])))) for row in rows[sign]]
        assert steps[1][f"chosen_{sign}"] == pytest.approx(sum(sums) / 2, rel=2e-5)
        assert steps[1][f"ref_{sign}"] == pytest.approx(sum(sums) / 2, rel=2e-5)
    assert steps[1]["lm_loss"] == pytest.approx(math.log(2), rel=1e-5)
    assert falls(steps, by=0.02)
    assert [logs[1][at]["lm_loss"] for at in steps] == pytest.approx([steps[at]["lm_loss"] for at in steps], rel=1e-3)
    run = root / "run-dpo-embedded"
    llemma("plan", "small_dpo", "--data", root / "dpo/mixture.json", "--init-from", root / "hf", "--out", run)
    llemma("train", run, "--threads", 1, "--device", "cpu")
    assert_embedded_trainer_makes_the_same_steps(run, "01-dpo", steps)


KTO = """
from megatron.data.data_utils import build_train_valid_test_data_loaders
neox_args.iteration = 0
loader = build_train_valid_test_data_loaders(neox_args)["train"]
sample = next(item for item in loader if len(set(item["reward"][:, 0].tolist())) == 2)
policy, reference = (training.get_model(neox_args).eval() for _ in range(2))
with torch.no_grad():
    for parameter in policy.parameters():
        parameter.mul_(1 + 0.3 * torch.randn_like(parameter))
    loss, metrics = training.forward_step(
        iter([sample]), policy, neox_args, None, is_train=True, reference_model=reference
    )
    tokens, labels, mask, attention_mask, position_ids, *_ = training.get_batch(neox_args, iter([sample]))
    logps = [
        model((tokens, position_ids, attention_mask)).log_softmax(-1).gather(2, labels.unsqueeze(2)).squeeze(2)
        for model in (policy, reference)
    ]
found["loss"] = loss.item()
found["ratios"] = ((logps[0] - logps[1]) * mask).sum(-1).tolist()
found["rewards"] = sample["reward"][:, 0].tolist()
"""


def test_kto_loss_of_neox_shrinks_with_the_padding_and_with_the_repair_is_that_of_the_paper(planned: Path) -> None:
    """arXiv 2402.01306, equation 8, with beta 0.1 and the KL of the other half of the micro-batch."""
    found = call_inside(planned, KTO, ["preference-losses"], stage_number=3)
    mended = call_inside(planned, KTO, ["preference-losses", "kto-reward"], stage_number=3)
    ratios, rewards = found["ratios"], found["rewards"]
    assert (mended["ratios"], mended["rewards"]) == (ratios, rewards) and set(rewards) == {1, -1}
    kl = [sum(max(ratio, 0) for ratio in half) / 2 for half in (ratios[2:], ratios[:2])]
    expected = sum(
        1 - 1 / (1 + math.exp(-0.1 * reward * (ratio - kl[number // 2])))
        for number, (ratio, reward) in enumerate(zip(ratios, rewards, strict=True))
    )
    assert mended["loss"] == pytest.approx(expected / 4, rel=1e-4)
    assert abs(found["loss"] - 0.5) < 0.2 * abs(expected / 4 - 0.5)  # as if nothing had been learnt


LAST_ROW = """
from megatron.data.data_utils import build_train_valid_test_data_loaders
neox_args.iteration = 0
packed = build_train_valid_test_data_loaders(neox_args)["train"].dataset.datasets[0]
last = len(packed.sample_idx) - 2
document = packed.indexed_dataset.get(packed.doc_idx[packed.sample_idx[last][0]]).tolist()
try:
    row = packed[packed.shuffle_idx.tolist().index(last)]["text"].tolist()
except RecursionError:
    row = []
found["is_read"] = row[: len(document)] == document
"""


def test_last_packed_row_of_neox_is_not_read_and_with_the_repair_is(planned: Path) -> None:
    """A validation set of eight rows ended a run with a RecursionError."""
    assert call_inside(planned, LAST_ROW) == {"is_read": False}
    assert call_inside(planned, LAST_ROW, ["last-row"]) == {"is_read": True}
