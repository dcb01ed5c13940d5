"""Tokenizers as the library sees them: text to ids without any control id, and one id that ends a document.

    load_tokenizer(path, eod=None, native=True) -> Tokenizer
                                        path: *.model, tokenizer.json, or a folder that holds either

What stands in a text stays text: a literal `</s>` never becomes the control id of that name, in either kind of
tokenizer.  No beginning-of-document id is added.

Text is encoded in machine code of our own (pieces.py) where the vocabulary allows it and its ids pass a proof against
the library's; elsewhere, and where native=False asks for it, by the library itself.  `engine` says which.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from llemma.core.errors import DamagedFileError, InputError, MissingPackageError
from llemma.core.files import sha256_file
from llemma.core.text.probe import PROBE_TEXTS, first_difference
from llemma.core.text.sentencepiece_model import (
    MAX_MODEL_BYTES,
    SPACE,
    PieceType,
    SentencePieceModel,
    parse_sentencepiece_model,
    read_bounded,
)

if TYPE_CHECKING:
    from llemma.core.text.pieces import EncodedBatch, PieceEncoder
    from llemma.core.text.pretokens import ByteLevelEncoder

MAX_JSON_BYTES = 256 << 20  # chosen by us: the largest known tokenizer.json has 35 MB


class Tokenizer(Protocol):
    """Text to token ids and back. `vocab_size` counts ids, so that every id is below it."""

    path: Path
    kind: str
    sha256: str
    vocab_size: int
    eod_id: int
    unk_id: int | None

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without control ids. Raises ValueError for lone surrogates."""

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text, int32."""

    def encode_batch_reference(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text as the tokenizer's own library gives them, int32."""

    def encode_buffer(
        self, data: np.ndarray, offsets: np.ndarray, dtype: npt.DTypeLike, *, with_eod: bool
    ) -> EncodedBatch:
        """Ids of documents that lie in a buffer of valid UTF-8, `offsets` (int64) between them."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; control ids give nothing."""

    def token_id(self, name: str) -> int | None:
        """The id of a token by its name, control tokens too; None where there is none."""


def load_tokenizer(path: str | Path, eod: str | int | None = None, *, native: bool = True) -> Tokenizer:
    """The tokenizer of a `.model` file, a `tokenizer.json`, or a folder that holds either (the `.model` first).

    `eod` names the token, or gives the id, that ends each document; only a SentencePiece vocabulary whose end of
    sentence is the control piece `</s>`, as Llama's is, needs none. Raises InputError or DamagedFileError.
    """
    file = tokenizer_file(path)
    if file.suffix == ".model":
        return SentencePieceTokenizer(file, eod, native=native)
    return HuggingFaceTokenizer(file, eod, native=native)


def load_for_counting(path: str | Path) -> Tokenizer:
    """The tokenizer of a path where no document is to be ended: any control token stands in for the one that does.

    Raises InputError or DamagedFileError.
    """
    file = tokenizer_file(path)
    if file.suffix == ".model":
        model = parse_sentencepiece_model(read_bounded(file, MAX_MODEL_BYTES, "a SentencePiece model"), str(file))
        control = [number for number, piece in enumerate(model.pieces) if piece.type == PieceType.CONTROL]
        return SentencePieceTokenizer(file, control[0] if control else None)
    value = _read_tokenizer_json(file)
    vocabulary = _vocabulary(value, file)
    unk_id = _huggingface_unk(value, vocabulary)
    special = [number for number in _control_tokens(value, vocabulary).values() if number != unk_id]
    return HuggingFaceTokenizer(file, special[0] if special else None)


def tokenizer_file(path: str | Path) -> Path:
    """The file that `load_tokenizer` reads for a path. Raises InputError if there is none."""
    path = Path(path)
    if path.is_dir():
        for name in ("tokenizer.model", "tokenizer.json"):
            if (path / name).is_file():
                return path / name
        raise InputError(f"{path}: this folder holds neither tokenizer.model nor tokenizer.json")
    if not path.is_file():
        raise InputError(f"{path}: there is no such tokenizer file")
    if path.suffix not in (".model", ".json"):
        raise InputError(f"{path}: a tokenizer is a SentencePiece .model or a tokenizer.json, not '{path.suffix}'")
    return path


class SentencePieceTokenizer:
    """A SentencePiece model. Plain BPE vocabularies are encoded in machine code, after a proof on the probe texts."""

    kind = "sentencepiece"

    def __init__(self, path: Path, eod: str | int | None, *, native: bool = True) -> None:
        self.path = path
        data = read_bounded(path, MAX_MODEL_BYTES, "a SentencePiece model")
        _refuse_tiktoken(data, path)
        self._may_be_native = native
        self.model = parse_sentencepiece_model(data, str(path))
        self._processor = _sentencepiece_processor(data, path)
        self._eod = eod
        self.vocab_size = len(self.model.pieces)
        self.unk_id: int | None = self.model.unk_id if 0 <= self.model.unk_id < self.vocab_size else None
        self.eod_id = _sentencepiece_eod(self.model, eod, path)
        self.sha256 = sha256_file(path)
        self._data = data

    @property
    def engine(self) -> str:
        """How text is encoded: "native" (cut, cached and merged here) or "sentencepiece"."""
        return "sentencepiece" if self._native is None else "native"

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without control ids. Raises ValueError for lone surrogates."""
        ids: list[int] = self.encode_batch([text])[0].tolist()
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text, int32. Raises ValueError for lone surrogates."""
        _refuse_surrogates(texts)
        if self._native is not None:
            return self._native.encode_texts(texts)
        return self.encode_batch_reference(texts)

    def encode_buffer(
        self, data: np.ndarray, offsets: np.ndarray, dtype: npt.DTypeLike, *, with_eod: bool
    ) -> EncodedBatch:
        """Ids of documents that lie in a buffer of valid UTF-8, `offsets` (int64) between them."""
        eod = self.eod_id if with_eod else -1
        if self._native is not None:
            return self._native.encode(data, offsets, dtype, eod)
        return _encode_texts_of_buffer(self.encode_batch_reference, data, offsets, dtype, eod)

    def encode_batch_reference(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text as SentencePiece itself gives them, int32."""
        return [np.asarray(ids, np.int32) for ids in self._processor.encode(list(texts), num_threads=1)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; control ids give nothing."""
        text: str = self._processor.decode([int(number) for number in ids])
        return text

    def token_id(self, name: str) -> int | None:
        """The id of a piece by its name; None where there is none."""
        return next((number for number, piece in enumerate(self.model.pieces) if piece.text == name), None)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SentencePieceTokenizer, native=self._may_be_native), (self.path, self._eod)

    @cached_property
    def _native(self) -> PieceEncoder | None:
        """The fast encoder, if the vocabulary allows it and its ids are SentencePiece's on the probe texts."""
        if not self._may_be_native or not self.model.is_plain_bpe or not self.model.byte_fallback:
            return None
        from llemma.core.text.pieces import sentencepiece_encoder

        # A message that comes twice in a protocol buffer is merged. This one says:
        # normalizer_spec.add_dummy_prefix = false
        without_prefix = _sentencepiece_processor(self._data + b"\x1a\x02\x18\x00", self.path)
        native = sentencepiece_encoder(self.model, without_prefix.encode)
        return native if _is_proven(native, self.encode_batch_reference, vocabulary_texts(self.model)) else None


class HuggingFaceTokenizer:
    """A tokenizer.json of Hugging Face's `tokenizers`, with its special tokens taken out of reach of text.

    Byte-level BPE with a pre-tokenizer that pretokens.py knows is encoded in machine code, after the same proof.
    """

    kind = "huggingface"

    def __init__(self, path: Path, eod: str | int | None, *, native: bool = True) -> None:
        self.path = path
        self._may_be_native = native
        value = _read_tokenizer_json(path)
        self._decoder = _huggingface_engine(value, path)  # first: it refuses what is of a wrong type anywhere
        self._eod = eod
        vocabulary = _vocabulary(value, path)
        control = _control_tokens(value, vocabulary)
        self.unk_id: int | None = _huggingface_unk(value, vocabulary)
        self.eod_id = _huggingface_eod(vocabulary, control, eod, self.unk_id, path)
        control.setdefault(next(text for text, number in vocabulary.items() if number == self.eod_id), self.eod_id)
        self.vocab_size = max(vocabulary.values()) + 1
        self.sha256 = sha256_file(path)
        self._value = _without_control(value, control)
        # One engine serves both ways where nothing had to be taken out: a large vocabulary takes half a second to load.
        self._engine = self._decoder if self._value == value else _huggingface_engine(self._value, path)
        self._engine.encode_special_tokens = True  # special tokens in a text are encoded as any other text
        self._engine.no_truncation()
        self._engine.no_padding()
        self._refuse_renumbered(vocabulary)
        self._refuse_reachable(control)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without control ids. Raises ValueError for lone surrogates."""
        _refuse_surrogates([text])
        ids: list[int] = self._engine.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text, int32. Raises ValueError for lone surrogates."""
        if self._native is not None:
            return self._native.encode_texts(texts)
        _refuse_surrogates(texts)
        return self.encode_batch_reference(texts)

    def encode_batch_reference(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text as `tokenizers` gives them, int32."""
        encodings = self._engine.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(encoding.ids, np.int32) for encoding in encodings]

    def encode_buffer(
        self, data: np.ndarray, offsets: np.ndarray, dtype: npt.DTypeLike, *, with_eod: bool
    ) -> EncodedBatch:
        """Ids of documents that lie in a buffer of valid UTF-8, `offsets` (int64) between them."""
        eod = self.eod_id if with_eod else -1
        if self._native is not None:
            return self._native.encode(data, offsets, dtype, eod)
        return _encode_texts_of_buffer(self.encode_batch_reference, data, offsets, dtype, eod)

    @property
    def engine(self) -> str:
        """How text is encoded: "native" (cut, cached and merged here) or "tokenizers"."""
        return "tokenizers" if self._native is None else "native"

    @cached_property
    def _native(self) -> ByteLevelEncoder | None:
        """The fast encoder, if the file is of a kind known here and its ids are the library's on the probe texts."""
        if not self._may_be_native or not isinstance(self._value["model"].get("merges"), list):
            return None
        from llemma.core.text.pretokens import byte_level_encoder, byte_level_texts

        native = byte_level_encoder(self._value, self.encode_batch_reference)
        if native is None:
            return None
        added = [token["content"] for token in self._value.get("added_tokens") or []]
        company = [f"{left}{text}{right}" for text in added[:300] for left in ("", "x ") for right in ("", " x", text)]
        texts = [*byte_level_texts(self._value["model"]), *company]
        return native if _is_proven(native, self.encode_batch_reference, texts) else None

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; control ids give nothing."""
        text: str = self._decoder.decode([int(number) for number in ids], skip_special_tokens=True)
        return text

    def token_id(self, name: str) -> int | None:
        """The id of a token by its name, special ones too; None where there is none."""
        number: int | None = self._decoder.token_to_id(name)
        return number

    def entries(self) -> tuple[dict[str, int], dict[int, str]]:
        """Ids of the vocabulary's own entries, and the texts of added tokens by id ("" for special ones)."""
        added = self._decoder.get_added_tokens_decoder()
        texts = {number: "" if token.special else token.content for number, token in added.items()}
        return self._decoder.get_vocab(with_added_tokens=False), texts

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(HuggingFaceTokenizer, native=self._may_be_native), (self.path, self._eod)

    def _refuse_renumbered(self, vocabulary: dict[str, int]) -> None:
        """Raises DamagedFileError if the library gives a token another id than the file: it renumbers after a gap."""
        found = self._engine.get_vocab(with_added_tokens=True)
        for text, number in vocabulary.items():
            if found.get(text) != number:
                raise DamagedFileError(
                    f"{self.path}: says that '{text}' has the id {number}, but tokenizers gives it {found.get(text)}"
                )

    def _refuse_reachable(self, control: dict[str, int]) -> None:
        """Raises InputError if some text still becomes a control id, that of unknown text apart."""
        for text in control:
            for number in {control[text], self.eod_id} - {self.unk_id}:
                if any(number in self.encode(literal) for literal in (text, f"a {text} b{text}")):
                    remedy = "name another end-of-document token" if number == self.eod_id else "use another tokenizer"
                    role = "is to end documents" if number == self.eod_id else "is a control token"
                    raise InputError(
                        f"{self.path}: a text that holds '{text}' becomes the id {number}, which {role}: {remedy}"
                    )


def vocabulary_texts(model: SentencePieceModel) -> list[str]:
    """Every piece that text can become, many of them in a row, the user-defined ones in company too."""
    own = (PieceType.NORMAL, PieceType.USER_DEFINED, PieceType.UNUSED)
    pieces = [piece.text for piece in model.pieces if piece.type in own]
    rows = ["".join(pieces[start : start + 100]) for start in range(0, len(pieces), 100)]
    defined = [piece.text for piece in model.pieces if piece.type == PieceType.USER_DEFINED][:200]
    company = [f"{left}{text}{right}" for text in defined for left in ("", " ", "x") for right in ("", " ", "x", text)]
    return [text.replace(SPACE, " ") for text in (*pieces[:2000], *rows, *company)]


def _is_proven(
    native: PieceEncoder | ByteLevelEncoder,
    reference: Callable[[Sequence[str]], list[np.ndarray]],
    texts: Sequence[str],
) -> bool:
    """True if the fast encoder gives the library's ids on the probe texts and on these."""
    wanted = [*PROBE_TEXTS, *texts]
    return first_difference(reference(wanted), native.encode_texts(wanted)) is None


def _encode_texts_of_buffer(
    encode: Callable[[Sequence[str]], list[np.ndarray]],
    data: np.ndarray,
    offsets: np.ndarray,
    dtype: npt.DTypeLike,
    eod: int,
) -> EncodedBatch:
    """What `encode_buffer` gives, by an encoder that takes texts."""
    from llemma.core.text.pieces import EncodedBatch

    bounds = offsets.tolist()
    texts = [data[start:stop].tobytes().decode("utf-8") for start, stop in itertools.pairwise(bounds)]
    rows = encode(texts)
    end = np.array([eod] if eod >= 0 else [], np.int32)
    parts = [part for ids in rows for part in (ids, end)]
    tokens = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    lengths = np.array([len(ids) + len(end) for ids in rows], np.int64)
    return EncodedBatch(tokens=tokens.astype(dtype), lengths=lengths)


def _refuse_tiktoken(data: bytes, path: Path) -> None:
    """Raises InputError for a vocabulary of tiktoken: base64 of a token, a space and its rank on each line."""
    if re.match(rb"[A-Za-z0-9+/]+={0,2} [0-9]+\r?\n[A-Za-z0-9+/]+={0,2} [0-9]+\r?\n", data[:4096]):
        raise InputError(
            f"{path}: this is a vocabulary of tiktoken (Llama 3's tokenizer.model is one), which tells neither how "
            "text is cut nor its special tokens: give the tokenizer.json that is published beside it"
        )


def _sentencepiece_processor(data: bytes, path: Path) -> Any:
    try:
        import sentencepiece
    except ModuleNotFoundError:
        raise MissingPackageError("sentencepiece", "train") from None
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=data)
    except (RuntimeError, OSError, ValueError) as error:
        raise DamagedFileError(f"{path}: sentencepiece cannot load this model ({error})") from None


def _sentencepiece_eod(model: SentencePieceModel, eod: str | int | None, path: Path) -> int:
    if eod is None:
        number = model.eos_id
        if 0 <= number < len(model.pieces) and model.pieces[number].text == "</s>":
            eod = number
        else:
            raise InputError(f"{path}: its end of sentence is not '</s>': name the end-of-document token (eod)")
    if isinstance(eod, str):
        matches = [number for number, piece in enumerate(model.pieces) if piece.text == eod]
        if not matches:
            raise InputError(f"{path}: has no piece '{eod}' to end documents with{_known_control(model)}")
        eod = matches[0]
    if not 0 <= eod < len(model.pieces):
        raise InputError(f"{path}: the end-of-document id is {eod}, but ids run from 0 to {len(model.pieces) - 1}")
    piece = model.pieces[eod]
    if piece.type != PieceType.CONTROL:
        kind = PieceType(piece.type).name.lower().replace("_", "-") if piece.type in set(PieceType) else "foreign"
        raise InputError(
            f"{path}: the end-of-document piece '{piece.text}' (id {eod}) is of kind '{kind}', which text can become, "
            f"but must be a control piece{_known_control(model)}"
        )
    return eod


def _known_control(model: SentencePieceModel) -> str:
    names = [piece.text for piece in model.pieces if piece.type == PieceType.CONTROL][:10]
    return f"; its control pieces are {', '.join(names)}" if names else "; it has no control pieces"


def _refuse_surrogates(texts: Sequence[str]) -> None:
    for text in texts:
        if not text.isascii():
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                message = f"text has a lone surrogate at character {error.start}, which UTF-8 cannot hold"
                raise ValueError(message) from None


def _read_tokenizer_json(path: Path) -> dict[str, Any]:
    data = read_bounded(path, MAX_JSON_BYTES, "a tokenizer.json")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path}: this is not valid JSON ({error})") from None
    if not isinstance(value, dict) or not isinstance(value.get("model"), dict):
        raise DamagedFileError(f"{path}: this is not a tokenizer.json of Hugging Face tokenizers (it has no 'model')")
    return value


def _vocabulary(value: dict[str, Any], path: Path) -> dict[str, int]:
    """Id of every token, added ones included."""
    vocabulary = value["model"].get("vocab")
    try:
        if isinstance(vocabulary, list):  # Unigram: [[token, score], ...]
            tokens = {str(entry[0]): number for number, entry in enumerate(vocabulary)}
        else:
            tokens = {str(text): int(number) for text, number in vocabulary.items()}
        for added in value.get("added_tokens") or []:
            tokens[str(added["content"])] = int(added["id"])
    except (TypeError, AttributeError, KeyError, IndexError, ValueError) as error:
        raise DamagedFileError(f"{path}: its vocabulary cannot be read ({error!r})") from None
    if not tokens or min(tokens.values()) < 0:
        raise DamagedFileError(f"{path}: its vocabulary is empty or has a negative id")
    return tokens


def _control_tokens(value: dict[str, Any], vocabulary: dict[str, int]) -> dict[str, int]:
    """Tokens that text must never become: the special ones, and Llama's by name."""
    control = {a["content"]: a["id"] for a in value.get("added_tokens") or [] if a.get("special")}
    control.update({text: vocabulary[text] for text in ("<s>", "</s>", "<unk>", "<pad>") if text in vocabulary})
    return control


def _huggingface_unk(value: dict[str, Any], vocabulary: dict[str, int]) -> int | None:
    model = value["model"]
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    return vocabulary.get(model.get("unk_token") or "<unk>")


def _huggingface_eod(
    vocabulary: dict[str, int], control: dict[str, int], eod: str | int | None, unk_id: int | None, path: Path
) -> int:
    known = f"; its special tokens are {', '.join(sorted(control)[:10])}" if control else ""
    if eod is None:
        raise InputError(f"{path}: a tokenizer.json does not say which token ends a document: name it (eod){known}")
    if isinstance(eod, str):
        if eod not in vocabulary:
            raise InputError(f"{path}: has no token '{eod}' to end documents with{known}")
        eod = vocabulary[eod]
    if eod not in vocabulary.values():
        raise InputError(f"{path}: has no token with the end-of-document id {eod}{known}")
    if eod == unk_id:
        raise InputError(f"{path}: id {eod} stands for unknown text, documents cannot end with it: name another{known}")
    return eod


def _without_control(value: dict[str, Any], control: dict[str, int]) -> dict[str, Any]:
    """The tokenizer with exactly the control tokens marked as special, and no merge that makes one."""
    model = dict(value["model"])
    if isinstance(model.get("merges"), list):
        model["merges"] = [merge for merge in model["merges"] if _merged(merge) not in control]
    # They stay in the list, marked as special: `tokenizers` gives new ids to those behind one that is missing.
    added = [{**item, "special": item["content"] in control} for item in value.get("added_tokens") or []]
    return {**value, "model": model, "added_tokens": added}


def _merged(merge: str | list[str]) -> str:
    return "".join(merge.split(" ") if isinstance(merge, str) else merge)


def _huggingface_engine(value: dict[str, Any], path: Path) -> Any:
    try:
        import tokenizers
    except ModuleNotFoundError:
        raise MissingPackageError("tokenizers", "train") from None
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(value))
    except BaseException as error:
        # A panic in the library's Rust code is no Exception.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise DamagedFileError(f"{path}: tokenizers cannot load this file ({error})") from None
        raise


def use_one_thread() -> None:
    """Keeps `tokenizers` from starting a thread per core in this process, for workers that share a machine."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
