"""README.md of a converted checkpoint: where it comes from, what it is, how it is used and checked."""

from __future__ import annotations

from llemma.checkpoint.planning import Conversion
from llemma.checkpoint.sources import LONG_NAMES

CARD_NAME = "README.md"

_USE = {
    "hf": "Loads with `transformers.AutoModelForCausalLM.from_pretrained`; transformers 4 and 5 read one RoPE base.",
    "neox": "GPT-NeoX loads it with `load` naming this folder and the keys of `neox_model.yml` in its configuration.",
    "meta": "One `consolidated.NN.pth` per model-parallel rank, for Meta's own program; `hf/` holds the rest.",
}


def card_text(plan: Conversion, weights_sha256: str, num_parameters: int) -> str:
    """The card, in Markdown; the same conversion gives the same text."""
    model = plan.architecture
    kind = "grouped-query" if model.is_grouped_query else "multi-head"
    rope = f"{plan.rope.after:g}"
    if plan.rope.is_change:
        rope += f", changed on purpose from {plan.rope.before:g}"
    layout = LONG_NAMES[plan.target_layout]
    vocabulary = f"{model.vocab_size:,} pieces"
    if plan.layout is not None:
        layout += f", {plan.layout.tensor_parallel} tensor-parallel rank(s)"
        if plan.layout.rows > model.vocab_size:
            vocabulary += f" and {plan.layout.rows - model.vocab_size:,} rows of padding (zeros)"
    rows = [
        (
            "made from",
            f"`{plan.source.place.resolve().name}`, a checkpoint in {LONG_NAMES[plan.source_layout]}'s layout",
        ),
        ("layout", layout),
        ("parameters", f"{num_parameters:,}"),
        ("precision", plan.hf_config.get("dtype") or "several types"),
        ("layers, hidden size", f"{model.num_layers}, {model.hidden_size:,}"),
        ("attention", f"{kind}, {model.num_heads} heads, {model.num_kv_heads} for keys and values"),
        ("feed-forward width", f"{model.ffn_width:,}"),
        ("vocabulary", vocabulary),
        ("output layer", "the embedding (tied)" if model.is_tied else "its own"),
        ("positions", f"{model.max_positions:,}"),
        ("RoPE base", rope),
        *([("optimizer state", f"kept: {', '.join(plan.optimizer.rows)}")] if plan.optimizer is not None else []),
        ("SHA-256 of the weights", f"`{weights_sha256}`"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    texts = [name for name in ("SOURCE_README.md", "LICENSE", "USE_POLICY.md") if name in plan.carried]
    files = "" if plan.target_layout == "hf" else " in `hf/`"
    theirs = (
        f"What the makers of the model say goes with it{files}: {', '.join(f'`{name}`' for name in texts)}."
        if texts
        else "The source held no licence and no card: those of its makers hold."
    )
    return (
        f"# Converted checkpoint\n\n| | |\n|---|---|\n{table}\n\n{_USE[plan.target_layout]}\n\n"
        "The SHA-256 is over the names and hashes of all tensors as Hugging Face names and shapes them, so that it is "
        "the same in every layout. `conversion.json` has them one by one; `llemma convert --verify FOLDER` checks "
        f"every file and every tensor against it.\n\n{theirs}\n"
    )
