"""What a configuration costs, by arithmetic: parameters, FLOPs per token, memory per GPU, hours, checkpoint sizes.

Memory counts what stands on the fullest GPU at the end of a forward pass. The state (weights, gradients, optimizer)
is exact for the layouts named below; activations are the tensors that autograd keeps, term by term; what CUDA, NCCL
and fragmentation take is a flat allowance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from llemma.neox.config import NeoxConfig

GIB = 1 << 30
BYTES = {"fp32": 4, "bfloat16": 2, "fp16": 2}
CUDA_ALLOWANCE = int(1.5 * GIB)  # chosen by us: CUDA context, NCCL buffers and fragmentation


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Number of parameters by part of the model."""

    embedding: int
    attention: int
    feed_forward: int
    norms: int
    output: int  # 0 where the embedding is shared

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(getattr(self, field.name) for field in fields(self))


def count_parameters(config: NeoxConfig) -> Parameters:
    """Parameters of a Llama model: no biases, grouped-query where configured."""
    hidden, layers = config.hidden_size, config.num_layers
    kv_width = config.num_kv_heads_or_all * config.head_dim
    return Parameters(
        embedding=config.vocab_rows * hidden,
        attention=layers * (2 * hidden * hidden + 2 * hidden * kv_width),
        feed_forward=layers * 3 * hidden * config.true_ffn_width,
        norms=(2 * layers + 1) * hidden,
        output=0 if config.tie_embeddings else config.vocab_rows * hidden,
    )


@dataclass(frozen=True, kw_only=True)
class FlopsPerToken:
    """Floating-point operations of one token's forward and backward passes, without recomputation.

    Matrices cost 6 per parameter (Kaplan et al., arXiv 2001.08361). Attention over s tokens costs 12·L·h·s when the
    whole square is counted (the convention of PaLM's appendix B, and of the MFU figures here), half of that when
    only the causal triangle is.
    """

    matrices: int
    attention_square: int

    @property
    def square(self) -> int:
        """With the whole attention square."""
        return self.matrices + self.attention_square

    @property
    def causal(self) -> int:
        """With the causal triangle alone."""
        return self.matrices + self.attention_square // 2


def flops_per_token(config: NeoxConfig) -> FlopsPerToken:
    """FLOPs per token; the embedding look-up costs nothing, the output layer counts even where it is shared.

    A token of DPO stands for one of either answer, and the frozen model of DPO and KTO goes forward over each.
    """
    parts = count_parameters(config)
    multiplied = parts.attention + parts.feed_forward + config.vocab_rows * config.hidden_size
    forward_passes = _answers(config) * (4 if has_reference_model(config) else 3)  # a backward pass counts as two
    return FlopsPerToken(
        matrices=forward_passes * 2 * multiplied,
        attention_square=forward_passes * 4 * config.num_layers * config.hidden_size * config.seq_length,
    )


def utilization(tokens: float, flops_a_token: float, hours: float, peak_tflops: float) -> float:
    """The share of the peak that `tokens` in so many hours of one GPU mean (MFU)."""
    return tokens * flops_a_token / (hours * 3600 * peak_tflops * 1e12)


def gpu_hours(tokens: float, flops_a_token: float, mfu: float, peak_tflops: float) -> float:
    """Hours of one GPU for `tokens` at a share `mfu` of the peak."""
    return tokens * flops_a_token / (mfu * peak_tflops * 1e12) / 3600


@dataclass(frozen=True, kw_only=True)
class MemoryPerGpu:
    """Bytes on the fullest GPU."""

    weights: int
    gradients: int
    optimizer: int
    reference: int  # the frozen model that DPO and KTO compare with
    activations: int
    logits: int
    allowance: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


def memory_per_gpu(config: NeoxConfig) -> MemoryPerGpu:
    """Memory by component on the fullest GPU, for tensor, pipeline and data parallel and ZeRO 0 to 3."""
    local = parameters_per_gpu(config)
    shards = config.dp_size
    weight_bytes = BYTES[config.precision]
    mixed = config.precision != "fp32"
    gradient_bytes = BYTES[config.grad_accum_dtype] if mixed else 4
    optimizer_bytes = 12 if mixed else 8  # master weights and two moments in fp32; in fp32 the weights are the master
    stage = config.zero_stage
    return MemoryPerGpu(
        weights=weight_bytes * _share(local, shards if stage >= 3 else 1),
        gradients=gradient_bytes * _share(local, shards if stage >= 2 else 1),
        optimizer=optimizer_bytes * _share(local, shards if stage >= 1 else 1),
        reference=weight_bytes * _share(local, shards if stage >= 3 else 1) if has_reference_model(config) else 0,
        activations=_activation_bytes(config),
        logits=_logit_bytes(config),
        allowance=CUDA_ALLOWANCE if config.distributed_backend == "nccl" else 0,
    )


def has_reference_model(config: NeoxConfig) -> bool:
    """True where NeoX holds a second, frozen model beside the one it trains (megatron/training.py:1154-1166)."""
    objective = config.other.get("train_impl", "normal")
    if objective not in ("dpo", "kto") or config.other.get("precompute_model_name") is not None:
        return False
    return not (objective == "dpo" and config.other.get("dpo_reference_free"))


def sequences_at_once(config: NeoxConfig) -> int:
    """Sequences of one forward pass: in DPO each of the micro-batch is a pair of answers."""
    return config.train_micro_batch_size_per_gpu * _answers(config)


def _answers(config: NeoxConfig) -> int:
    return 2 if config.other.get("train_impl") == "dpo" else 1


def parameters_per_gpu(config: NeoxConfig) -> int:
    """Parameters on the fullest GPU, before ZeRO: norms stand on every tensor-parallel rank, the rest is split."""
    parts = count_parameters(config)
    tensor, stages = config.model_parallel_size, max(1, config.pipe_parallel_size)
    layers = math.ceil(config.num_layers / stages)
    layer = (parts.attention + parts.feed_forward) // config.num_layers // tensor + 2 * config.hidden_size
    first, last = parts.embedding // tensor, parts.output // tensor + config.hidden_size
    if stages == 1:
        return layers * layer + first + last
    return layers * layer + max(first, last)


def _share(count: int, shards: int) -> int:
    return math.ceil(count / shards)


def _activation_bytes(config: NeoxConfig) -> int:
    """Tensors that the backward pass needs, without the logits.

    With recomputation each group of layers keeps its input (split over tensor-parallel ranks where
    partition_activations is set), and one group's inner tensors stand while it is recomputed. Under pipeline
    parallelism the first stage holds as many micro-batches as there are stages.
    """
    stages = max(1, config.pipe_parallel_size)
    layers = math.ceil(config.num_layers / stages)
    in_flight = min(stages, config.gradient_accumulation_steps)
    tokens = sequences_at_once(config) * config.seq_length
    inner = _inner_bytes_per_layer(config, tokens)
    if not config.checkpoint_activations:
        return in_flight * layers * inner
    boundary = tokens * config.hidden_size * BYTES[config.precision]
    if config.partition_activations:
        boundary //= config.model_parallel_size
    group = min(config.checkpoint_num_layers, layers)
    return in_flight * math.ceil(layers / group) * boundary + group * inner


def _inner_bytes_per_layer(config: NeoxConfig, tokens: int) -> int:
    """Tensors inside one layer, in the order of the forward pass."""
    width, tensor, hidden = BYTES[config.precision], config.model_parallel_size, config.hidden_size
    kv_width = config.num_kv_heads_or_all * config.head_dim
    whole = 4 * hidden  # input and output of both norms, on every rank
    attention = hidden + 2 * kv_width  # queries, keys, values, after rotation
    attention += hidden  # the attention's output, input of its projection
    feed_forward = 4 * config.true_ffn_width  # gate, up, silu(gate), their product
    split = (attention + feed_forward) / tensor
    per_token = whole + split
    scores = 0
    if "flash" not in config.attention_kinds:
        # Without flash attention the probabilities are kept (in fp32 beside the half-precision copy).
        copies = width + (4 if width < 4 else 0)
        scores = tokens * config.seq_length * config.num_attention_heads // tensor * copies
    return int(tokens * per_token * width) + scores


def _logit_bytes(config: NeoxConfig) -> int:
    """Logits in the model's type, and in fp32 the copy that the loss keeps with its gradient.

    KTO gathers them from all tensor-parallel ranks, its own and the reference model's (megatron/training.py:705, 725).
    """
    tokens = sequences_at_once(config) * config.seq_length
    is_kto = config.other.get("train_impl") == "kto"
    rows = config.vocab_rows // (1 if is_kto else config.model_parallel_size)
    copies = 8 if config.precision == "fp32" else BYTES[config.precision] + 8
    return tokens * rows * (copies + (BYTES[config.precision] if has_reference_model(config) else 0))


@dataclass(frozen=True, kw_only=True)
class CheckpointSizes:
    """Bytes of one checkpoint, and how many a run leaves."""

    weights: int
    optimizer: int
    kept: int

    @property
    def each(self) -> int:
        """One checkpoint."""
        return self.weights + self.optimizer

    @property
    def storage(self) -> int:
        """All checkpoints that are kept."""
        return self.kept * self.each


def checkpoint_sizes(config: NeoxConfig) -> CheckpointSizes:
    """Sizes on disk: weights in the model's type, optimizer state in fp32."""
    total = count_parameters(config).total
    factor, last = config.checkpoint_factor or config.last_iteration, config.last_iteration
    extra = {step for step in config.other.get("extra_save_iters") or () if step < last and step % factor}
    num = math.ceil(last / factor) + len(extra)
    return CheckpointSizes(
        weights=BYTES[config.precision] * total,
        optimizer=(8 if config.precision == "fp32" else 12) * total,
        kept=min(num, config.keep_last_n_checkpoints or num),
    )
