"""Which of GPT-NeoX's keys the embedded trainer honours, which change nothing here, and which it refuses.

A key that stands in neither table is refused by name unless it has NeoX's own default: a key that NeoX gains later
can never be passed over in silence.
"""

from __future__ import annotations

from typing import Any, Literal

from llemma.neox.config import NeoxConfig
from llemma.neox.keytable import known_keys

Treatment = Literal["honoured", "harmless", "refused"]

_HONOURED = """
    num_layers hidden_size num_attention_heads num_kv_heads intermediate_size mlp_multiple_of seq_length
    max_position_embeddings padded_vocab_size make_vocab_size_divisible_by norm rms_norm_epsilon pos_emb rotary_pct
    rotary_emb_base no_weight_tying gpt_j_residual activation use_bias_in_norms use_bias_in_attn_linear use_bias_in_mlp
    attention_config hidden_dropout attention_dropout optimizer weight_decay gradient_clipping
    train_iters lr_decay_iters lr_decay_fraction lr_decay_style min_lr warmup exit_interval precision
    train_batch_size train_micro_batch_size_per_gpu gradient_accumulation_steps global_num_gpus
    model_parallel_size pipe_parallel_size train_data_paths train_data_weights valid_data_paths valid_data_weights
    vocab_file data_impl load seed eval_interval eval_iters checkpoint_factor checkpoint_scale extra_save_iters
    keep_last_n_checkpoints eod_mask_loss train_label_data_paths valid_label_data_paths pack_impl allow_chopped
"""
HONOURED = frozenset(_HONOURED.split())

# Why a key may stand here without being obeyed: it says how NeoX works, not what it computes.
_HARMLESS_BY_REASON = {
    "how weights are drawn, which are loaded here": """
        init_method output_layer_init_method init_method_std use_cpu_initialization""",
    "a kernel or a memory plan, with the same results": """
        zero_optimization bf16 fp32_allreduce data_types output_layer_parallelism checkpoint_activations
        checkpoint_num_layers partition_activations synchronize_each_layer contiguous_checkpointing checkpoint_in_cpu
        activation_checkpointing deepspeed_activation_checkpointing checkpoint_validation_with_forward_pass
        scaled_upper_triang_masked_softmax_fusion scaled_masked_softmax_fusion bias_gelu_fusion bias_dropout_fusion
        rope_fusion rmsnorm_fusion layernorm_fusion attention_softmax_in_fp32 rotary_save_freqs_buffer
        use_flashattn_swiglu fused_kernels_build_path communication_data_type prescale_gradients
        gradient_predivide_factor sequence_parallel pipe_partition_method apply_query_key_layer_scaling""",
    "how processes are started and talk": """
        distributed_backend launcher hostfile include exclude num_gpus num_nodes master_addr master_port no_ssh_check
        force_multi comment account deepspeed deepspeed_extra_args deepspeed_mpi deepspeed_slurm num_workers
        mmap_warmup use_shared_fs lazy_mpu_init user_script""",
    "what NeoX prints and where to": """
        log_interval log_dir steps_per_print wall_clock_breakdown tensorboard_dir tensorboard csv_monitor comms_logger
        flops_profiler dump_state log_grad_norm log_grad_pct_zeros log_param_norm log_optimizer_states
        peak_theoretical_tflops use_wandb wandb wandb_group wandb_team wandb_project wandb_host wandb_run_name
        wandb_init_all_ranks use_comet comet_workspace comet_project comet_experiment_name comet_tags comet_others
        profile profile_backward profile_step_start profile_step_stop memory_profiling memory_profiling_path
        git_hash""",
    "the run directory decides it here": """
        save finetune no_load_optim no_load_rng no_save_optim no_save_rng checkpoint s3_path s3_chunk_size
        override_lr_scheduler use_checkpoint_lr_scheduler""",
    "only the vocabulary file is read": "tokenizer_type merge_file",
    "used at the end by NeoX alone": "test_data_paths test_data_weights test_label_data_paths",
    "a property of a norm that Llama has not": "layernorm_epsilon scalenorm_epsilon",
}
HARMLESS = {key: reason for reason, keys in _HARMLESS_BY_REASON.items() for key in keys.split()}

_REMEDIES = {
    "data_path": "give train_data_paths and valid_data_paths",
    "split": "give train_data_paths and valid_data_paths",
    "fp16": "take bfloat16 or fp32",
    "weight_by_num_documents": "NeoX's formula contradicts its documentation: give train_data_weights",
    "train_epochs": "give train_iters",
    "eval_tasks": "evaluate the exported model with  python -m eval_tasks run",
    "curriculum_learning": "write a recipe with several stages",
}
_OPTIMIZERS = ("adam", "cpu_adam")


def treatment(key: str) -> Treatment:
    """What happens to a key whose value is not NeoX's default."""
    if key in HONOURED:
        return "honoured"
    return "harmless" if key in HARMLESS else "refused"


def refusals(config: NeoxConfig) -> list[tuple[str, str]]:
    """(key, message) for everything in a configuration that the embedded trainer cannot honour."""
    found = [*config.llama_problems(), *_value_problems(config)]
    defaults = known_keys()
    for key, value in config.other.items():
        if treatment(key) != "refused" or value == defaults[key].default or _is_off(value):
            continue
        remedy = f": {_REMEDIES[key]}" if key in _REMEDIES else ", leave it out or run this stage on GPT-NeoX"
        found.append((key, f"'{key}' is {_shown(value)}, which the embedded trainer cannot honour{remedy}"))
    return found


def _is_off(value: Any) -> bool:
    """True for what switches a feature off: null, false, an empty list or a block that says `enabled: false`."""
    return value in (None, False, [], {}) or (isinstance(value, dict) and value.get("enabled") is False)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _value_problems(config: NeoxConfig) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def check(right: bool, key: str, wanted: str) -> None:
        if not right:
            found.append((key, f"'{key}' is {_shown(getattr(config, key))}, but {wanted}"))

    one_process = "the embedded trainer runs in one process: set it to 1, or run this stage on GPT-NeoX"
    check(config.model_parallel_size == 1, "model_parallel_size", one_process)
    check(config.pipe_parallel_size <= 1, "pipe_parallel_size", one_process)
    check(config.precision != "fp16", "precision", "the embedded trainer takes bfloat16 or fp32")
    check(config.hidden_dropout == 0, "hidden_dropout", "Llama has no dropout there: it must be 0")
    check(config.attention_dropout == 0, "attention_dropout", "the embedded trainer takes 0 alone")
    check(config.data_impl in ("mmap", "infer"), "data_impl", "only 'mmap' (.bin/.idx) is read")
    check(bool(config.train_data_paths), "train_data_paths", "the data to train on must stand there")
    check(
        config.optimizer.type.lower() in _OPTIMIZERS,
        "optimizer",
        f"its type must be Adam (with decoupled decay, as NeoX runs it) or cpu_adam, not {config.optimizer.type}",
    )
    for split in ("train", "valid"):
        key = f"{split}_label_data_paths"
        labels, paths = config.other.get(key), getattr(config, f"{split}_data_paths")
        if isinstance(labels, list) and len(labels) != len(paths or []):
            found.append((key, f"'{key}' names {len(labels)} data sets, but '{split}_data_paths' {len(paths or [])}"))
    if config.other.get("pack_impl", "packed") == "unpacked" and not config.other.get("train_label_data_paths"):
        wanted = "leaving documents unpacked needs train_label_data_paths"
        found.append(("pack_impl", f"'pack_impl' is 'unpacked', but {wanted}"))
    kinds = sorted(set(config.attention_kinds) - {"global", "flash"})
    check(not kinds, "attention_config", f"only full attention (global, flash) is honoured, not {', '.join(kinds)}")
    return found
