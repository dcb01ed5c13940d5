"""What a finished build says of itself on standard output."""

from __future__ import annotations

from pathlib import Path

from llemma.core.schemas import Mixture


def print_summary(out: Path) -> None:
    """Prints a table of sources, the reasons of removals, warnings, and where the files lie."""
    from proof_pile.build.tables import print_table
    from proof_pile.manifest import Manifest

    manifest = Manifest.read(out)
    mixture = {source.name: source for source in Mixture.read(out / "mixture.json").sources}
    kept_rows, removed_rows = [], []
    totals = [0] * 9
    for name, counts in manifest.sources.items():
        removed = [
            sum(counts.filtered.values()),
            counts.exact_duplicates,
            counts.near_duplicates,
            counts.contaminated,
            counts.quarantined,
        ]
        numbers = [counts.read, counts.removed, counts.kept, counts.tokens, *removed]
        totals = [total + number for total, number in zip(totals, numbers, strict=True)]
        source = mixture.get(name)
        share = [f"{source.weight:.2%}", f"{source.epochs:.2f}"] if source else ["-", "-"]
        kept_rows.append([name, *(f"{number:,}" for number in numbers[:4]), *share])
        removed_rows.append([name, *(f"{number:,}" for number in removed)])
    kept_rows.append(["all", *(f"{total:,}" for total in totals[:4]), "100.00%", ""])
    removed_rows.append(["all", *(f"{total:,}" for total in totals[4:])])
    print()
    print_table("", ("source", "read", "removed", "kept", "tokens", "share", "epochs"), kept_rows)
    print()
    columns = ("removed", "filtered", "copies", "near-copies", "contaminated", "unreadable")
    print_table("", columns, removed_rows)
    reasons: dict[str, int] = {}
    for counts in manifest.sources.values():
        for reason, number in counts.filtered.items():
            reasons[reason] = reasons.get(reason, 0) + number
    if reasons:
        listed = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        print("\nfiltered: " + ", ".join(f"{reason} {number:,}" for reason, number in listed))
    for warning in manifest.warnings:
        print(f"warning: {warning}")
    print(f"\n{out}")
    for name, what in (
        ("mixture.json", "what to train on, with weights"),
        (f"neox/{manifest.name}_data.yml", "the same for GPT-NeoX"),
        ("DATASHEET.md", "what the corpus is and how it was made"),
        ("removed.parquet", "every removed document with its reason"),
        ("quarantine.jsonl", "records that could not be read"),
        ("manifest.json", "every file with its hash"),
    ):
        if (out / name).exists():  # a mixture that NeoX cannot take has no overlay
            print(f"  {name:<28} {what}")
