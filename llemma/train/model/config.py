"""What a model is: its architecture, and whatever else its config.json says, carried along unread."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llemma.checkpoint.architecture import Architecture, architecture_from_hf
from llemma.checkpoint.hf_files import CONFIG_NAME
from llemma.core.errors import InputError
from llemma.core.files import read_json
from llemma.neox.config import NeoxConfig


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A Llama's configuration; `carried` holds the keys of config.json that no number here depends on."""

    architecture: Architecture
    carried: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> ModelConfig:
        """The configuration of a Hugging Face folder. Raises ConfigError or InputError for what is no plain Llama."""
        place = folder / CONFIG_NAME
        values = read_json(place)
        architecture = architecture_from_hf(values, str(place))
        dropout = values.get("attention_dropout")
        if dropout:
            raise InputError(
                f"{place}: 'attention_dropout' is {dropout!r}, but the embedded trainer has none: set it to 0.0"
            )
        return cls(architecture=architecture, carried=values)

    @classmethod
    def of(cls, config: NeoxConfig) -> ModelConfig:
        """The configuration of the model that a NeoX configuration describes."""
        architecture = Architecture(
            num_layers=config.num_layers,
            hidden_size=config.hidden_size,
            num_heads=config.num_attention_heads,
            num_kv_heads=config.num_kv_heads_or_all,
            ffn_width=config.true_ffn_width,
            vocab_size=config.vocab_rows,
            max_positions=config.max_position_embeddings,
            rms_norm_eps=config.rms_norm_epsilon,
            rope_base=float(config.rotary_emb_base),
            is_tied=config.tie_embeddings,
        )
        return cls(architecture=architecture, carried={"initializer_range": config.init_method_std})

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding, padding and all."""
        return self.architecture.vocab_size

    def for_stage(self, config: NeoxConfig) -> ModelConfig:
        """The same model with the RoPE base and the length of a stage."""
        changed = dataclasses.replace(
            self.architecture,
            rope_base=float(config.rotary_emb_base),
            max_positions=config.max_position_embeddings,
        )
        return dataclasses.replace(self, architecture=changed)

    def for_export(self, *, max_positions: int, eos_token_id: int) -> ModelConfig:
        """The same model as others are to load it."""
        return ModelConfig(
            architecture=dataclasses.replace(self.architecture, max_positions=max_positions),
            carried={**self.carried, "eos_token_id": eos_token_id},
        )
