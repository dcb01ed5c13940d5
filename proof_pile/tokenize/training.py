"""Step: documents -> a Llama-style SentencePiece BPE tokenizer, in SentencePiece's and in Hugging Face's form.

run(params, task, out):
    params: vocab_size (int), max_bytes (int, default 8,000,000), seed (int, default 0), split (str, default "train")
    task.inputs: documents Parquet files with the columns id and text, and split where `split` is not None
    writes: tokenizer.model, tokenizer.json, tokenizer_config.json, special_tokens_map.json
    counts: documents, bytes, lines, vocab_size

The settings are those of Llama's tokenizer: byte fallback, <unk> <s> </s> = 0 1 2 and no padding, no normalization,
each digit a token, a space put before the text.  It is trained on single lines, so that a line end stays the byte
<0x0A>.  Which documents are read is decided by a hash of their ids: the same corpus gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llemma.core.errors import MissingPackageError, WorkError
from llemma.core.steps import Task

VERSION = 1
DEFAULT_MAX_BYTES = 8_000_000  # chosen by us: at 4,096 pieces more text changes little
MAX_DOCUMENT_BYTES = 200_000  # chosen by us: no document is more than a few percent of the default
MAX_LINE_CHARS = 4192  # Llama's max_sentence_length; longer lines are cut, not left out
CHARACTER_COVERAGE = 0.99995  # Llama's
_READ_ROWS = 32


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Trains on a sample of the task's documents and writes the tokenizer's files."""
    from llemma.core.text.export import hf_tokenizer_files

    sample = TrainingSample(
        [Path(item.path) for item in task.inputs],
        max_bytes=params.get("max_bytes", DEFAULT_MAX_BYTES),
        seed=params.get("seed", 0),
        split=params.get("split", "train"),
    )
    model = train_sentencepiece(sample.lines(), params["vocab_size"])
    path = out / "tokenizer.model"
    path.write_bytes(model)
    hf_tokenizer_files(path, out)
    return {
        "documents": sample.num_documents,
        "bytes": sample.num_bytes,
        "lines": sample.num_lines,
        "vocab_size": params["vocab_size"],
    }


def train_sentencepiece(lines: Iterator[str], vocab_size: int) -> bytes:
    """The bytes of a Llama-style .model trained on lines of text. Raises WorkError if there is too little text."""
    try:
        import sentencepiece
    except ModuleNotFoundError:
        raise MissingPackageError("sentencepiece", "train") from None
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            character_coverage=CHARACTER_COVERAGE,
            byte_fallback=True,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            normalization_rule_name="identity",
            add_dummy_prefix=True,
            remove_extra_whitespaces=False,
            max_sentence_length=4 * MAX_LINE_CHARS + 4,  # counted in bytes
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            # The number of threads is written into the model, and the input must not be shuffled or thinned again.
            num_threads=1,
            input_sentence_size=0,
            shuffle_input_sentence=False,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise WorkError(_fault(str(error), vocab_size)) from None
    return model.getvalue()


def _fault(said: str, vocab_size: int) -> str:
    """What sentencepiece's message means for a person: the two bounds on the vocabulary ask for opposite remedies."""
    needed = re.search(r"smaller than required_chars\D+\d+ vs (\d+)", said)
    if needed is not None:
        return (
            f"a vocabulary of {vocab_size} pieces has no room for the 256 bytes, the control tokens and the characters "
            f"of the training text, which are {needed[1]} together: give a vocab_size above {needed[1]}"
        )
    most = re.search(r"value <= (\d+)", said)
    found = f"at most {most[1]}" if most else f"sentencepiece says: {said.strip()[-200:]}"
    return (
        f"the training text does not make a vocabulary of {vocab_size} pieces ({found}): "
        "give more text or a smaller vocab_size"
    )


class TrainingSample:
    """The lines of those documents that a hash of their ids selects, about `max_bytes` bytes in all."""

    def __init__(self, files: Sequence[Path], *, max_bytes: int, seed: int, split: str | None) -> None:
        self._files = files
        self._seed = seed
        self._split = split
        self.num_documents = self.num_bytes = self.num_lines = 0
        total = sum(min(size, MAX_DOCUMENT_BYTES) for size in self._sizes())
        if total == 0:
            where = f"the split '{split}' of " if split is not None else ""
            raise WorkError(f"there is no text in {where}the documents to train a tokenizer on")
        self._threshold = min(1.0, max_bytes / total)

    def lines(self) -> Iterator[str]:
        """Lines that are not blank, without their ends, none longer than MAX_LINE_CHARS characters."""
        for batch in self._batches(["id", "text"]):
            for document, text in zip(batch.column("id").to_pylist(), batch.column("text"), strict=True):
                if not self._is_selected(document):
                    continue
                selected = text.as_py().encode("utf-8")[:MAX_DOCUMENT_BYTES].decode("utf-8", "ignore")
                self.num_documents += 1
                self.num_bytes += len(selected.encode("utf-8"))
                for line in selected.split("\n"):
                    for at in range(0, len(line), MAX_LINE_CHARS):
                        part = line[at : at + MAX_LINE_CHARS].rstrip("\r")
                        if part.strip() and "\0" not in part:
                            self.num_lines += 1
                            yield part

    def _is_selected(self, document: bytes) -> bool:
        key = self._seed.to_bytes(8, "little", signed=True)
        digest = hashlib.blake2b(document, digest_size=8, key=key).digest()
        return int.from_bytes(digest, "little") < self._threshold * 2**64

    def _sizes(self) -> Iterator[int]:
        import pyarrow.compute as pc

        for batch in self._batches(["text"]):
            yield from pc.binary_length(batch.column("text")).to_pylist()

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        wanted = columns if self._split is None else [*columns, "split"]
        for path in self._files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_READ_ROWS, columns=wanted):
                    yield batch if self._split is None else batch.filter(pc.equal(batch.column("split"), self._split))
