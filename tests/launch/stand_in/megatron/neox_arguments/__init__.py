from __future__ import annotations

from megatron.neox_arguments.neox_args import NeoXArgs

__all__ = ["NeoXArgs"]
