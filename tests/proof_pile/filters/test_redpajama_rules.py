"""The rules of RedPajama's GitHub part that have filters of their own, and the filter by metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from llemma.core.errors import InputError
from proof_pile.documents import make_document
from proof_pile.filters import Drop, FilterConfig, Keep, make_chain
from proof_pile.filters.alphabetic_per_token import Config as AlphabeticConfig


def verdict(section: dict[str, Any], text: str = "text", name: str = "", **meta: Any) -> str:
    judge = make_chain([TypeAdapter(FilterConfig).validate_python(section)])
    found = judge(make_document("s", name, text, meta))
    return found.reason if isinstance(found, Drop) else "kept"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("src/main.c", "kept"),
        ("src/Main.C", "kept"),
        ("docker/Dockerfile", "kept"),
        ("a/b.tex", "kept"),
        ("data.csv", "path-ending"),
        ("src/MAIN.PY", "path-ending"),
        ("LICENSE", "path-ending"),
        ("key.crt", "path-ending"),
    ],
)
def test_path_endings_of_redpajama_tell_upper_from_lower_case(path: str, expected: str) -> None:
    assert verdict({"kind": "path-endings", "preset": "redpajama-github"}, path=path) == expected


def test_path_endings_drop_before_they_keep() -> None:
    section = {"kind": "path-endings", "keep": [".py"], "drop": ["_pb2.py"]}
    assert verdict(section, name="a.py") == "kept"
    assert verdict(section, name="a_pb2.py") == "path-ending"
    assert verdict({"kind": "path-endings", "drop": [".min.js"]}, name="a.js") == "kept"


def test_letters_per_token_drop_encoded_data_and_keep_prose(small_tokenizer: Path) -> None:
    section = {"kind": "alphabetic-per-token", "tokenizer": str(small_tokenizer), "min_ratio": 1.0}
    assert verdict(section, "the ring of integers is a group and every field is a ring") == "kept"
    assert verdict(section, "0x3f, 0x91, 0x22, 0x00, 0x17, 9482, 1172, 8273, 9983;" * 20) == "letters-per-token"
    assert verdict({**section, "min_ratio": 1000}, "prose") == "letters-per-token"


def test_letters_per_token_agree_with_a_count_by_hand(small_tokenizer: Path) -> None:
    from llemma.core.text.tokenizers import load_tokenizer

    text = "A sum of 12 squares, and x = 3."
    ratio = sum(c.isalpha() for c in text) / len(load_tokenizer(small_tokenizer).encode(text))
    for bound, expected in ((ratio - 0.01, "kept"), (ratio + 0.01, "letters-per-token")):
        section = {"kind": "alphabetic-per-token", "tokenizer": str(small_tokenizer), "min_ratio": bound}
        assert verdict(section, text) == expected


def test_tokenizer_of_the_rule_is_settled_by_its_content(small_tokenizer: Path, tmp_path: Path) -> None:
    config = AlphabeticConfig(kind="alphabetic-per-token", tokenizer=small_tokenizer.name)
    settled = config.settled(small_tokenizer.parent)
    assert Path(settled.tokenizer).is_file()
    assert settled.tokenizer_hash is not None
    with pytest.raises(InputError, match="no such tokenizer"):
        config.settled(tmp_path)


@pytest.mark.parametrize(
    ("section", "meta", "expected"),
    [
        ({"drop": ["ArXiv"]}, {"pile_set_name": "ArXiv"}, "meta-pile_set_name"),
        ({"drop": ["ArXiv"]}, {"pile_set_name": "FreeLaw"}, "kept"),
        ({"drop": ["ArXiv"]}, {}, "kept"),
        ({"drop": ["ArXiv"], "missing": "drop"}, {}, "meta-pile_set_name"),
        ({"keep": ["FreeLaw"]}, {"pile_set_name": "ArXiv"}, "meta-pile_set_name"),
        ({"keep": ["FreeLaw"]}, {"pile_set_name": ["ArXiv", "FreeLaw"]}, "kept"),
        ({"min": 2, "max": 5}, {"pile_set_name": 3}, "kept"),
        ({"min": 2}, {"pile_set_name": "1.5"}, "meta-pile_set_name"),
        ({"min": 2}, {"pile_set_name": "many"}, "meta-pile_set_name"),
        ({"keep": [1]}, {"pile_set_name": True}, "meta-pile_set_name"),
    ],
)
def test_meta_decides_by_the_key(section: dict[str, Any], meta: dict[str, Any], expected: str) -> None:
    assert verdict({"kind": "meta", "key": "pile_set_name", **section}, **meta) == expected


def test_meta_follows_a_path_into_the_metadata() -> None:
    section = {"kind": "meta", "key": "meta.language.code", "keep": ["en"]}
    assert verdict(section, meta={"language": {"code": "en"}}) == "kept"
    assert verdict(section, meta={"language": "en"}) == "kept"
    assert verdict({**section, "missing": "drop"}, meta={"language": "en"}) == "meta-meta.language.code"


def test_meta_without_any_bound_is_refused() -> None:
    with pytest.raises(ValidationError, match="'keep' or to 'drop'"):
        TypeAdapter(FilterConfig).validate_python({"kind": "meta", "key": "k"})


def test_kept_document_is_the_same_document() -> None:
    document = make_document("s", "a.py", "text", {"k": "v"})
    judge = make_chain([TypeAdapter(FilterConfig).validate_python({"kind": "meta", "key": "k", "keep": ["v"]})])
    assert judge(document) == Keep(document)


def test_tokenizer_json_counts_tokens_though_nobody_says_which_ends_a_document(tmp_path: Path) -> None:
    """A recipe that named the very tokenizer that RedPajama took (a tokenizer.json) was refused: it gave no `eod`."""
    import tokenizers

    engine = tokenizers.Tokenizer(tokenizers.models.BPE())
    engine.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        initial_alphabet=sorted(alphabet), special_tokens=["<|endoftext|>"], show_progress=False
    )
    engine.train_from_iterator(["lemma theorem proof"] * 5, trainer)
    engine.save(str(tmp_path / "tokenizer.json"))
    section = {"kind": "alphabetic-per-token", "tokenizer": str(tmp_path / "tokenizer.json")}
    assert verdict(section, "lemma theorem proof") == "kept"  # a token each
    assert verdict(section, "xq zj 0 1 2 3 4 5 6 7 8 9") == "letters-per-token"  # a token a letter
