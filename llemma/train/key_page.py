"""docs/embedded-keys.md: what the embedded trainer does with each of GPT-NeoX's keys.

python -m llemma.train.key_page docs/embedded-keys.md
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from llemma.core.files import write_text
from llemma.neox.keytable import known_keys, table_commit
from llemma.train.keys import HARMLESS, HONOURED, REMEDIES, remedy, treatment

_HEAD = """# GPT-NeoX's keys in the embedded trainer

Made by `python -m llemma.train.key_page docs/embedded-keys.md` from the tables in `llemma/train/keys.py`; a test holds
the two together. The keys are those of GPT-NeoX at {commit}: {total} of them, each in one table below.
`llemma train` reads the same `neox.yml` as GPT-NeoX. A key that is refused ends it before anything is trained (exit
code 2), with the line of `neox.yml` and what to do instead; NeoX's own default, and what switches a feature off
(`null`, `false`, `enabled: false`), may stand there.
"""


def page() -> str:
    """The page as Markdown."""
    refused = [key for key in sorted(known_keys()) if treatment(key) == "refused"]
    plain = [key for key in refused if key not in REMEDIES]
    parts = [
        _HEAD.format(commit=table_commit()[:8], total=len(known_keys())),
        f"## Honoured ({len(HONOURED)})\n\nWhat each says is done.\n",
        _table(("they say", "keys"), _grouped((meaning, key) for key, meaning in HONOURED.items())),
        f"## Harmless here ({len(HARMLESS)})\n\nThey may say anything: no number of the run depends on them.\n",
        _table(("why", "keys"), _grouped((reason, key) for key, reason in HARMLESS.items())),
        f"## Refused ({len(refused)})\n\nWith a way of their own:\n",
        _table(("key", "what to do"), [(f"`{key}`", remedy(key)) for key in refused if key in REMEDIES]),
        f"The others ({remedy('')}), by NeoX's own groups:\n",
        _table(("group", "keys"), _grouped((known_keys()[key].group, key) for key in plain)),
    ]
    return "\n".join(parts)


def _grouped(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(name, its keys) in the order in which the names come."""
    groups: dict[str, list[str]] = {}
    for name, key in pairs:
        groups.setdefault(name, []).append(f"`{key}`")
    return [(name, ", ".join(keys)) for name, keys in groups.items()]


def _table(columns: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {first} | {second} |" for first, second in (columns, ("---", "---"), *rows)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(prog="python -m llemma.train.key_page", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path, metavar="FILE", help="docs/embedded-keys.md")
    args = parser.parse_args()
    write_text(args.out, page())


if __name__ == "__main__":
    main()
