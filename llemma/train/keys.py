"""Which of GPT-NeoX's keys the embedded trainer honours, which change nothing here, and which it refuses.

A key that stands in no table is refused by name unless it has NeoX's own default: a key that NeoX gains later can
never be passed over in silence. docs/embedded-keys.md is made of these tables (`python -m llemma.train.key_page`).
"""

from __future__ import annotations

from typing import Any, Literal

from llemma.neox.config import DERIVED_KEYS, NeoxConfig
from llemma.neox.keytable import known_keys
from llemma.train.model.initial_weights import INIT_KEYS
from llemma.train.objective_keys import objective_problems

Treatment = Literal["honoured", "harmless", "refused"]

# Keys of which one value, or few, can be meant: every other one is refused.
ONE_VALUE = "one value alone is taken"
# Keys that follow from others: a contradiction is refused.
MUST_AGREE = "must agree with the others"
_HONOURED_BY_MEANING = {
    "the model": """
        num_layers hidden_size num_attention_heads num_kv_heads intermediate_size seq_length max_position_embeddings
        padded_vocab_size rms_norm_epsilon rotary_emb_base no_weight_tying""",
    "the weights of a run that begins with random ones": " ".join(INIT_KEYS),
    ONE_VALUE: """
        norm pos_emb rotary_pct gpt_j_residual activation use_bias_in_norms use_bias_in_attn_linear use_bias_in_mlp
        attention_config hidden_dropout attention_dropout data_impl""",
    MUST_AGREE: "train_batch_size mlp_multiple_of make_vocab_size_divisible_by bf16 dataset_impl",
    "the optimizer and its schedule": """
        optimizer weight_decay gradient_clipping train_iters lr_decay_iters lr_decay_fraction lr_decay_style min_lr
        warmup exit_interval precision""",
    "the batch, and who computes what of it": """
        train_micro_batch_size_per_gpu gradient_accumulation_steps global_num_gpus model_parallel_size
        pipe_parallel_size""",
    "the data and their order": """
        train_data_paths train_data_weights valid_data_paths valid_data_weights train_label_data_paths
        valid_label_data_paths train_reward_data_paths valid_reward_data_paths pos_train_data_paths
        pos_train_label_data_paths neg_train_data_paths neg_train_label_data_paths pos_valid_data_paths
        pos_valid_label_data_paths neg_valid_data_paths neg_valid_label_data_paths vocab_file seed eod_mask_loss
        pack_impl allow_chopped""",
    "what is learnt": """
        train_impl dpo_beta dpo_reference_free kto_beta kto_desirable_weight kto_undesirable_weight""",
    "under which names --track wandb and --track trackio keep it": """
        wandb_project wandb_group wandb_team wandb_run_name""",
    "the peak of the device that the MFU shown is a share of": "peak_theoretical_tflops",
    "when validation is made and a checkpoint written": """
        eval_interval eval_iters checkpoint_factor checkpoint_scale extra_save_iters keep_last_n_checkpoints""",
}
HONOURED = {key: meaning for meaning, keys in _HONOURED_BY_MEANING.items() for key in keys.split()}

# Why a key may stand here without being obeyed: it says how NeoX works, not what it computes.
_HARMLESS_BY_REASON = {
    "another kernel, layout or plan of memory for the same sums: their last bits alone": """
        output_layer_parallelism checkpoint_activations checkpoint_num_layers partition_activations
        synchronize_each_layer contiguous_checkpointing checkpoint_in_cpu activation_checkpointing
        deepspeed_activation_checkpointing scaled_upper_triang_masked_softmax_fusion scaled_masked_softmax_fusion
        bias_gelu_fusion bias_dropout_fusion rope_fusion rmsnorm_fusion layernorm_fusion use_flashattn_swiglu
        fused_kernels_build_path sequence_parallel pipe_partition_method rotary_save_freqs_buffer
        use_cpu_initialization""",
    "where what is kept (--zero deepspeed obeys); zero_quantized_…, which rounds, is refused": "zero_optimization",
    "the precision of sums: gradients are added up, and the attention's softmax taken, in fp32 here": """
        fp32_allreduce data_types communication_data_type prescale_gradients gradient_predivide_factor
        attention_softmax_in_fp32 apply_query_key_layer_scaling dpo_fp32 kto_fp32""",
    "how processes are started and talk; how many they stand for says global_num_gpus": """
        distributed_backend launcher hostfile include exclude num_gpus num_nodes master_addr master_port no_ssh_check
        force_multi comment account deepspeed deepspeed_mpi deepspeed_slurm num_workers mmap_warmup use_shared_fs
        lazy_mpu_init user_script""",
    "what NeoX prints and where to": """
        log_interval log_dir steps_per_print wall_clock_breakdown csv_monitor comms_logger flops_profiler dump_state
        log_grad_norm log_grad_pct_zeros log_param_norm log_optimizer_states
        log_gradient_noise_scale gradient_noise_scale_n_batches gradient_noise_scale_cpu_offload char_level_ppl
        profile profile_backward profile_step_start profile_step_stop memory_profiling memory_profiling_path
        git_hash""",
    "which trackers are told is said by --track alone: no file makes a training talk to a server": """
        tensorboard tensorboard_dir use_wandb wandb wandb_host wandb_init_all_ranks use_comet comet_workspace
        comet_project comet_experiment_name comet_tags comet_others""",
    "the run directory decides it here: stage.json says what a stage begins with, and a checkpoint holds all": """
        save load finetune no_load_rng no_save_optim no_save_rng checkpoint checkpoint_validation_with_forward_pass
        s3_chunk_size""",
    "a stage is gone on from with its own schedule alone, another one is refused": """
        override_lr_scheduler use_checkpoint_lr_scheduler""",
    "the tokenizer is that of the data, named by vocab_file or the mixture": "tokenizer_type merge_file",
    "used by NeoX at its end, or by its programs that write text, alone": """
        test_data_paths test_data_weights test_label_data_paths test_reward_data_paths pos_test_data_paths
        pos_test_label_data_paths neg_test_data_paths neg_test_label_data_paths text_gen_type temperature top_p top_k
        return_logits maximum_tokens prompt_end sample_input_file sample_output_file num_samples recompute
        eval_results_prefix""",
    "a property of a norm that Llama has not": "layernorm_epsilon scalenorm_epsilon",
}
HARMLESS = {key: reason for reason, keys in _HARMLESS_BY_REASON.items() for key in keys.split()}

_SET_BY_NEOX = "GPT-NeoX sets it by itself as it starts: leave it out"
REMEDIES = {
    **DERIVED_KEYS,
    "data_path": "give train_data_paths and valid_data_paths",
    "split": "give train_data_paths and valid_data_paths",
    "fp16": "take bfloat16 or fp32",
    "weight_by_num_documents": "NeoX's formula contradicts its documentation: give train_data_weights",
    "train_epochs": "give train_iters",
    "eval_tasks": "evaluate the exported model with  python -m eval_tasks run",
    "curriculum_learning": "write a recipe with several stages",
    "precompute_model_name": "leave it out, the reference model is held beside the one that is trained",
    "no_load_optim": "GPT-NeoX then updates one parameter alone: leave it out",
    "deepspeed_extra_args": "DeepSpeed may do anything that stands there: write GPT-NeoX's own keys",
    "s3_path": "leave it out and copy the run directory yourself",
    **dict.fromkeys(("world_size", "rank", "local_rank", "iteration", "config_files"), _SET_BY_NEOX),
    **dict.fromkeys(("do_train", "do_valid", "do_test"), _SET_BY_NEOX),
}
_OTHER_REMEDY = "leave it out or run this stage on GPT-NeoX"
_OPTIMIZERS = ("adam", "cpu_adam")
_QUANTIZED = "zero_quantized_"  # ZeRO++: weights or gradients rounded on their way between processes


def treatment(key: str) -> Treatment:
    """What happens to a key whose value is not NeoX's default."""
    if key in HONOURED:
        return "honoured"
    return "harmless" if key in HARMLESS else "refused"


def remedy(key: str) -> str:
    """What to do about a key that is refused."""
    return REMEDIES.get(key, _OTHER_REMEDY)


def refusals(config: NeoxConfig) -> list[tuple[str, str]]:
    """(key, message) for everything in a configuration that the embedded trainer cannot honour."""
    found = [*config.llama_problems(), *_value_problems(config), *objective_problems(config)]
    defaults = known_keys()
    for key, value in config.other.items():
        if treatment(key) == "refused" and not _is_off(value, defaults[key].default):
            wanted = f"which the embedded trainer cannot honour: {remedy(key)}"
            found.append((key, f"'{key}' is {_shown(value)}, {wanted}"))
    return found


def _is_off(value: Any, default: Any) -> bool:
    """True for NeoX's default and for what switches a feature off: null, false, an empty list, `enabled: false`."""
    if value == default and isinstance(value, bool) == isinstance(default, bool):
        return True
    if isinstance(value, dict):
        return not value or value.get("enabled") is False
    return value is None or value == [] or (value is False and not default)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _value_problems(config: NeoxConfig) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def check(right: bool, key: str, wanted: str) -> None:
        if not right:
            found.append((key, f"'{key}' is {_shown(getattr(config, key))}, but {wanted}"))

    check(config.precision != "fp16", "precision", "the embedded trainer takes bfloat16 or fp32")
    check(config.hidden_dropout == 0, "hidden_dropout", "Llama has no dropout there: it must be 0")
    check(config.attention_dropout == 0, "attention_dropout", "the embedded trainer takes 0 alone")
    check(config.data_impl in ("mmap", "infer"), "data_impl", "only 'mmap' (.bin/.idx) is read")
    check(
        config.optimizer.type.lower() in _OPTIMIZERS,
        "optimizer",
        f"its type must be Adam (with decoupled decay, as NeoX runs it) or cpu_adam, not {config.optimizer.type}",
    )
    kinds = sorted(set(config.attention_kinds) - {"global", "flash"})
    check(not kinds, "attention_config", f"only full attention (global, flash) is honoured, not {', '.join(kinds)}")
    quantized = [key for key, value in (config.zero_optimization or {}).items() if key.startswith(_QUANTIZED) and value]
    check(not quantized, "zero_optimization", f"{', '.join(quantized)} rounds what it sends: leave it out")
    if "global_num_gpus" not in config.model_fields_set:
        # NeoX counts the processes by these where nothing else says how many there are, and so makes its batch.
        for key in ("hostfile", "num_gpus", "num_nodes"):
            if config.other.get(key) not in (None, known_keys()[key].default):
                found.append((key, f"'{key}' stands there without global_num_gpus, which makes the batch: write both"))
    return found
