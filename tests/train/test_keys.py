"""Every key of GPT-NeoX's configuration in the embedded trainer: obeyed, without effect, or refused by its name."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from llemma.core.errors import ConfigError
from llemma.neox.config import DERIVED_KEYS, NeoxConfig
from llemma.neox.keytable import NeoxKey, known_keys
from llemma.schedules import learning_rate
from llemma.train.key_page import page
from llemma.train.keys import HARMLESS, HONOURED, MUST_AGREE, ONE_VALUE, refusals, remedy, treatment
from llemma.train.places import find_stages
from llemma.train.processes import chosen_layout
from llemma.train.settings import Settings, read_settings

from .conftest import NEOX, MakeRun

FROM_NOISE = {"start": "noise", "init_from": None}
BF16 = {"precision": "bfloat16", "zero_optimization": {"stage": 1}}
PAIRS: dict[str, Any] = {
    "train_impl": "dpo", "dataset_impl": "pairwise", "pack_impl": "unpacked", "train_data_paths": None,
    "train_data_weights": None, "valid_data_paths": None, "valid_data_weights": None,
} | {f"{sign}_{split}_{beside}data_paths": [f"/{sign}"]
     for sign in ("pos", "neg") for split in ("train", "valid") for beside in ("", "label_")}  # fmt: skip
KTO: dict[str, Any] = {"train_impl": "kto", "pack_impl": "unpacked"} | {
    f"{split}_{beside}_data_paths": ["/a", "/b"] for split in ("train", "valid") for beside in ("label", "reward")
}
LABELS = {"train_label_data_paths": ["/a", "/b"], "valid_label_data_paths": ["/a", "/b"]}

# Another value of each honoured key, the other keys that it needs to stand with (before and after), and the fact of
# the run that must come out otherwise.
DECIDES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "num_layers": (3, {}, "model"),
    "hidden_size": (128, {}, "model"),
    "num_attention_heads": (8, {}, "model"),
    "num_kv_heads": (1, {}, "model"),
    "intermediate_size": (1536, {}, "model"),
    "seq_length": (16, {}, "samples"),
    "max_position_embeddings": (64, {}, "model"),
    "padded_vocab_size": (512, {}, "model"),
    "rms_norm_epsilon": (1e-6, {}, "model"),
    "rotary_emb_base": (500000, {}, "model"),
    "no_weight_tying": (False, {}, "model"),
    "init_method": ("small_init", {}, "spread"),
    "output_layer_init_method": ("wang_init", {}, "spread"),
    "init_method_std": (0.01, {}, "spread"),
    "optimizer": ({"type": "Adam", "params": {"lr": 0.003, "betas": [0.9, 0.99]}}, {}, "optimizer"),
    "weight_decay": (0.2, {}, "optimizer"),
    "gradient_clipping": (0.5, {}, "optimizer"),
    "train_iters": (20, {}, "samples"),
    "lr_decay_iters": (20, {}, "rates"),
    "lr_decay_fraction": (0.5, {"lr_decay_iters": None}, "rates"),
    "lr_decay_style": ("linear", {}, "rates"),
    "min_lr": (0.0, {}, "rates"),
    "warmup": (0.5, {}, "rates"),
    "exit_interval": (6, {}, "last"),
    "precision": ("bfloat16", {"zero_optimization": {"stage": 1}}, "precision"),
    "train_micro_batch_size_per_gpu": (2, {}, "batch"),
    "gradient_accumulation_steps": (3, {}, "batch"),
    "global_num_gpus": (2, {}, "batch"),
    "pipe_parallel_size": (2, {"global_num_gpus": 2}, "batch"),
    "model_parallel_size": (2, {"global_num_gpus": 2}, "layout"),
    "train_data_paths": (["/a", "/b"], {}, "data"),
    "train_data_weights": ([0.5, 0.5], {}, "data"),
    "valid_data_paths": (["/a", "/b"], {}, "data"),
    "valid_data_weights": ([0.5, 0.5], {}, "data"),
    "train_label_data_paths": (["/a", "/b"], {}, "data"),
    "valid_label_data_paths": (["/a", "/b"], {"train_label_data_paths": ["/c", "/d"]}, "data"),
    "train_reward_data_paths": (["/c", "/d"], KTO, "data"),
    "valid_reward_data_paths": (["/c", "/d"], KTO, "data"),
    **{key: (["/other"], PAIRS, "data") for key in PAIRS if key.startswith(("pos_", "neg_"))},
    "seed": (1, {}, "samples"),
    "eod_mask_loss": (True, {}, "loss"),
    "pack_impl": ("pack_until_overflow", {}, "packing"),
    "allow_chopped": (False, LABELS, "packing"),
    "train_impl": ("kto", {}, "loss"),  # with what it needs, see below
    "dpo_beta": (0.2, PAIRS, "loss"),
    "dpo_reference_free": (True, PAIRS, "loss"),
    "kto_beta": (0.2, KTO, "loss"),
    "kto_desirable_weight": (2.0, KTO, "loss"),
    "kto_undesirable_weight": (2.0, KTO, "loss"),
    "eval_interval": (6, {}, "validations"),
    "eval_iters": (2, {}, "validations"),
    "checkpoint_factor": (6, {}, "checkpoints"),
    "checkpoint_scale": ("log", {}, "checkpoints"),
    "extra_save_iters": ([5], {}, "checkpoints"),
    "keep_last_n_checkpoints": (2, {}, "checkpoints"),
}  # fmt: skip
# What each of these does is shown by a test of its own.
SHOWN_ELSEWHERE = {
    "vocab_file": "test_refusals",
    "peak_theoretical_tflops": "test_watching",
    **dict.fromkeys(("wandb_project", "wandb_group", "wandb_team", "wandb_run_name"), "test_keys"),
}

# A value of each key of which few can be meant, or that contradicts the others; what must stand with it.
CONTRADICTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "norm": ("layernorm", {}),
    "pos_emb": ("learned", {}),
    "rotary_pct": (0.25, {}),
    "gpt_j_residual": (True, {}),
    "activation": ("gelu", {}),
    "use_bias_in_norms": (True, {}),
    "use_bias_in_attn_linear": (True, {}),
    "use_bias_in_mlp": (True, {}),
    "attention_config": ([[["local"], 2]], {}),
    "hidden_dropout": (0.1, {}),
    "attention_dropout": (0.1, {}),
    "data_impl": ("lazy", {}),
    "train_batch_size": (7, {}),
    "mlp_multiple_of": (100, {}),
    "make_vocab_size_divisible_by": (3, {}),
    "bf16": ({"enabled": True}, {}),
    "dataset_impl": ("pairwise", {}),
}


def settings_of(run: Path) -> Settings:
    return read_settings(find_stages(run)[0])


def facts(settings: Settings) -> dict[str, Any]:
    """What a run does, as the trainer's own functions say it."""
    from llemma.train.model.config import ModelConfig
    from llemma.train.model.initial_weights import weight_std

    config, last = settings.config, settings.last_iteration
    names = ("model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight")
    return {
        "model": ModelConfig.of(config).architecture,
        "spread": [weight_std(name, config) for name in names],
        "optimizer": [config.optimizer.model_dump(), config.weight_decay, config.gradient_clipping],
        "rates": [learning_rate(settings.schedule, iteration) for iteration in range(last)],
        "last": last,
        "precision": settings.precision,
        "batch": [settings.micro_batch, settings.num_micro_batches],
        "layout": chosen_layout(2, None, config, 0),
        "samples": [settings.num_train_samples, config.seq_length, config.seed],
        "data": [settings.train, settings.validation],
        "packing": [settings.packing, settings.allow_chopped],
        "loss": [settings.eod_mask_loss, settings.preference],
        "validations": [settings.num_validation_samples, [n for n in range(last) if settings.is_validated(n)]],
        "checkpoints": [[n for n in range(last + 1) if settings.is_saved(n)], config.keep_last_n_checkpoints],
    }


def other_value(key: NeoxKey) -> Any:
    """A value of a key's own type that is not its default."""
    if key.choices is not None:
        return next((choice for choice in key.choices if choice.lower() != str(key.default).lower()), key.choices[0])
    kind = key.type.split("|")[0]
    return {
        "int": 7, "number": 7, "float": 0.75, "str": "something", "bool": key.default is not True,
        "list": ["something"], "dict": {"something": 1}, "any": "something",
    }[kind]  # fmt: skip


def test_every_key_of_neox_has_one_treatment_and_its_reason() -> None:
    assert HONOURED.keys() | HARMLESS.keys() <= known_keys().keys()
    assert not HONOURED.keys() & HARMLESS.keys()
    assert all(HONOURED.values()) and all(HARMLESS.values()) and all(map(remedy, known_keys()))


def test_every_honoured_key_stands_in_a_table_of_this_file() -> None:
    fixed = {key for key, meaning in HONOURED.items() if meaning in (ONE_VALUE, MUST_AGREE)}
    assert fixed == CONTRADICTIONS.keys()
    assert HONOURED.keys() - fixed == DECIDES.keys() | SHOWN_ELSEWHERE.keys()
    for key, file in SHOWN_ELSEWHERE.items():
        assert key in Path(__file__).with_name(f"{file}.py").read_text(), f"{file}.py has no test of {key}"


@pytest.mark.parametrize("key", sorted(DECIDES))
def test_honoured_key_with_another_value_changes_what_it_is_to_change(make_run: MakeRun, key: str) -> None:
    value, beside, fact = DECIDES[key]
    runs = [
        make_run(name, **{**beside, **chosen})
        for name, chosen in (("as it is", {}), ("other", KTO if key == "train_impl" else {key: value}))
    ]
    before, after = (facts(settings_of(run)) for run in runs)
    assert before[fact] != after[fact]


@pytest.mark.parametrize("key", sorted(CONTRADICTIONS))
def test_honoured_key_of_which_few_values_can_be_meant_is_refused_with_another(make_run: MakeRun, key: str) -> None:
    value, beside = CONTRADICTIONS[key]
    run = make_run(stage=FROM_NOISE, **{**beside, key: value})
    with pytest.raises(ConfigError) as caught:
        settings_of(run)
    wanted = "padded_vocab_size" if key == "make_vocab_size_divisible_by" else key
    told = [problem for problem in caught.value.problems if f"'{wanted}'" in problem.message]
    assert told and all(problem.line for problem in told)


def test_names_for_wandb_are_those_that_it_is_opened_with(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its server is not here; what it is told stands in the place of the package."""
    from types import SimpleNamespace

    from llemma.train.watch import tracking
    from llemma.train.watch.trackers import OPENERS

    told: list[dict[str, Any]] = []
    opened = SimpleNamespace(dir="", offline=True, url="", log=lambda *_, **__: None, finish=lambda: None)
    stand_in = SimpleNamespace(
        Table=None, Settings=dict, init=lambda **options: told.append(options) or opened, __spec__=None
    )
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    names = {"wandb_project": "p", "wandb_team": "t", "wandb_group": "g", "wandb_run_name": "n"}
    run = tracking.TrackedRun(folder=tmp_path, stage="s", identity="abcd", is_new=True, config={}, names=names)
    OPENERS["wandb"](run).close()
    assert (told[0]["project"], told[0]["entity"], told[0]["group"]) == ("p", "t", "g")
    assert told[0]["name"].startswith("n-")
    assert settings_of(make_run(**names)).config.other.items() >= names.items()


def test_configuration_is_read_by_the_run_itself_and_not_by_its_checks_alone(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a key that stands among the honoured ones and that only a check looks at, nobody would notice."""
    from llemma.cli import main

    read: set[str] = set()
    checks = {"cross_field_problems", "llama_problems", "refusals", "hf_problems", "key_problems"}
    real = NeoxConfig.__getattribute__

    def is_checking() -> bool:
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_name not in checks:
            frame = frame.f_back
        return frame is not None

    class Other(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            if not is_checking():
                read.add(key)
            return super().get(key, default)

    def reading(self: NeoxConfig, name: str) -> Any:
        value = real(self, name)
        if name in NeoxConfig.model_fields and name not in read and not is_checking():
            read.add(name)
        return Other(value) if name == "other" else value

    run = make_run(stage=FROM_NOISE, train_iters=2, lr_decay_iters=None, lr_decay_fraction=1.0, exit_interval=2)
    monkeypatch.setattr(NeoxConfig, "__getattribute__", reading)
    assert main(["train", str(run), "--threads", "1", "--device", "cpu"]) == 0
    monkeypatch.undo()
    of_pairs_or_answers = {key for key in DECIDES if key.startswith(("pos_", "neg_", "dpo_", "kto_"))}
    assert DECIDES.keys() - of_pairs_or_answers - read == set()


def test_harmless_keys_with_other_values_leave_every_byte_of_the_weights(make_run: MakeRun) -> None:
    """All of them at once, and each of them alone leaves the settings as they are."""
    from llemma.cli import main

    others = {key: other_value(known_keys()[key]) for key in HARMLESS} | {
        "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}},
        "data_types": {"grad_accum_dtype": "bf16"},
        "test_data_paths": ["/a"],
        "test_data_weights": [1.0],
    }
    others |= {key: ["/a"] for key in others if "test" in key and key.endswith("_paths")}
    others["hostfile"] = "/hosts"
    runs = [
        make_run(name, train_iters=3, lr_decay_iters=3, global_num_gpus=1, **keys)
        for name, keys in (("as it is", {}), ("others", others))
    ]
    before, after = map(settings_of, runs)
    assert dataclasses.replace(after, config=before.config) == before
    assert facts(after) == facts(before)
    weights = []
    for run in runs:
        assert main(["train", str(run), "--threads", "1", "--device", "cpu"]) == 0
        weights.append((run / "export/hf/model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_refused_keys_are_told_together_each_by_name_with_its_line_and_what_to_do(make_run: MakeRun) -> None:
    """A key that NeoX computes itself is refused while the file is read, before any other: it stands in a run alone."""
    refused = [key for key in known_keys() if treatment(key) == "refused"]
    for name, keys in (("own", [key for key in refused if key not in DERIVED_KEYS]), ("derived", list(DERIVED_KEYS))):
        values = {key: other_value(known_keys()[key]) for key in keys}
        if "fp16" in values:
            values |= {"fp16": {"enabled": True}, "precision": "fp16", "dataset_impl": "gpt2"}
        run = make_run(name, **values)
        with pytest.raises(ConfigError) as caught:
            settings_of(run)
        lines = (run / "stages/01-math/neox.yml").read_text().splitlines()
        for key in keys:
            line = next(number for number, text in enumerate(lines, 1) if text.startswith(f' "{key}":'))
            told = [item.message for item in caught.value.problems if item.line == line and f"'{key}'" in item.message]
            assert told and remedy(key) in told[0], key


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"zero_optimization": {"stage": 1, "zero_quantized_weights": True}}, "zero_quantized_weights rounds"),
        ({"num_gpus": 8}, "'num_gpus' stands there without global_num_gpus"),
        ({"optimizer": {"type": "Adam", "params": {"lr": 0.1, "amsgrad": True}}}, "amsgrad"),
        ({"optimizer": {"type": "Adam", "params": {"lr": 0.1, "max_grad_norm": 1.0}}}, "max_grad_norm"),
        ({"init_method": "orthogonal"}, "'init_method' is 'orthogonal'"),
        ({"mup_output_temp": 0}, "'mup_output_temp' is 0"),
    ],
)
def test_part_of_a_block_that_changes_numbers_is_refused(make_run: MakeRun, keys: dict[str, Any], named: str) -> None:
    """Quantized sums, DeepSpeed's own processes, and a zero that was taken for `off` were passed over in silence."""
    with pytest.raises(ConfigError, match=named):
        settings_of(make_run(stage=FROM_NOISE, **keys))


def test_precision_that_only_deepspeeds_block_names_is_that_of_neox(make_run: MakeRun) -> None:
    """`bf16: {enabled: true}` alone is bfloat16 in NeoX; here the run was trained in fp32."""
    run = make_run(precision=None, bf16={"enabled": True}, zero_optimization={"stage": 1})
    assert settings_of(run).precision == "bfloat16"


def test_random_weights_spread_as_neox_draws_them(make_run: MakeRun) -> None:
    """Every matrix was drawn with init_method_std; NeoX narrows what adds to the residual stream, and knows others."""
    import math

    import torch

    from llemma.train.model.weights import random_model

    wanted = {
        ("normal", "scaled_normal"): (0.02, 0.02 / math.sqrt(2 * 2)),
        ("small_init", "wang_init"): (math.sqrt(2 / (5 * 64)), 2 / 2 / math.sqrt(64)),
        ("normal", "single_residual_scaled_normal"): (0.02, 0.02 / math.sqrt(2)),
    }
    for (inner, outer), (inner_std, outer_std) in wanted.items():
        config = NeoxConfig.from_values(NEOX | {"init_method": inner, "output_layer_init_method": outer})
        torch.manual_seed(0)
        for name, weight in random_model(config, torch.device("cpu")).named_parameters():
            if weight.dim() == 2:
                std = outer_std if name.split(".")[-2] in ("o_proj", "down_proj") else inner_std
                assert weight.std().item() == pytest.approx(std, rel=0.06), name


def test_keys_written_with_neox_default_values_are_taken() -> None:
    other = {name: key.default for name, key in known_keys().items() if name not in NeoxConfig.model_fields}
    assert not refusals(NeoxConfig.from_values(NEOX).model_copy(update={"other": other, "train_data_paths": ["x"]}))


def test_page_of_keys_is_that_of_the_tables() -> None:
    path = Path(__file__).parents[2] / "docs/embedded-keys.md"
    assert path.read_text() == page(), "make it anew: python -m llemma.train.key_page docs/embedded-keys.md"


def test_kept_json_of_a_run_is_what_the_tables_here_take_for_granted(make_run: MakeRun) -> None:
    """The tables change one key of this configuration at a time: it has to stand by itself."""
    run = make_run(stage=FROM_NOISE)
    assert json.loads((run / "stages/01-math/neox.yml").read_text()).keys() <= known_keys().keys()
    settings_of(run)
