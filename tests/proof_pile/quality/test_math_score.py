"""MathScore: what is a page with LaTeX, the model that ships, and training one."""

from __future__ import annotations

import importlib.metadata
import json
import random
import re
from pathlib import Path

import pytest

from llemma.core.errors import InputError
from llemma.core.files import read_json, sha256_file
from proof_pile.quality.cli import main
from proof_pile.quality.latex_commands import count_commands, has_commands, has_latex
from proof_pile.quality.lines import LineFile, pieces
from proof_pile.quality.math_score import SHIPPED, classifier_line, load_math_score

FIXTURES = Path(__file__).parent / "fixtures"
RECORD = SHIPPED.with_suffix(".json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"$\frac{1}{2}$ and \alpha", True),
        (r"\begin{proof}", True),
        (r"C:\emacs\bin", False),  # OpenWebMath looks for substrings: \em is one of this
        (r"C:\em", False),
        (r"D:\text\in", True),  # only what follows the drive is known to be a path
        (r"\\in", False),  # a line break of LaTeX, then a word
        (r"\n is no command", False),
        ("nothing", False),
    ],
)
def test_latex_commands_are_found_as_whole_commands(text: str, expected: bool) -> None:
    assert has_commands(text) is expected
    assert (count_commands(text, 1) == 1) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so $x^2 + y^2 = 1$ holds", True),
        (r"so \(a + b\) holds", True),
        (r"the \alpha of it", True),
        ("it costs $5 here and $6 there", False),
        ("set `$HOME/bin:$PATH` first", False),
        ("```\nre.findall(r'\\bf[a-z]*', text)\n```", False),
        ("```\nx = 1\n```\nso $x = 1$ holds", True),
    ],
)
def test_latex_of_a_page_is_looked_for_outside_code(text: str, expected: bool) -> None:
    r"""A page on regular expressions (`\bf[a-z]*`) and one on shells (`$a:$b`) passed for pages with formulas."""
    assert has_latex(text) is expected


def test_classifier_is_not_shown_what_it_has_to_predict() -> None:
    line = classifier_line(r"The sum $\sum_{i} x_i$ and \[\frac{a}{b}\] of \emph{all} terms \ref{eq}.").decode()
    assert line == "the sum and of all terms ."


def test_shipped_model_is_the_one_that_its_record_tells_of() -> None:
    record = read_json(RECORD)
    assert record["model"] == {"bytes": SHIPPED.stat().st_size, "sha256": sha256_file(SHIPPED)}
    assert SHIPPED.stat().st_size < 2_000_000


def test_shipped_model_tells_mathematics_from_other_prose() -> None:
    score = load_math_score()
    mathematics = (
        "Let G be a finite group and let H be a normal subgroup. The quotient map is a homomorphism with kernel H. "
        "By the first isomorphism theorem every homomorphism factors through the quotient. Prove that the order of an "
        "element divides the order of the group, and compute the integral of the function over the interval."
    )
    story = (
        "The ferry left at nine. Anna had packed bread and cheese, and her brother carried the lamp. On the quay an "
        "old man was selling newspapers; he told them that the road to the village had been closed since the storm."
    )
    assert score(mathematics) > 0.8
    assert score(story) < 0.15
    assert score("") == 0.0


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> dict[str, str]:
    """Version of each package in constraints.txt, by its canonical name."""
    path = Path(__file__).parents[3] / "constraints.txt"
    if not path.exists():
        pytest.skip("constraints.txt stands in a checkout alone")
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def test_shipped_model_was_made_with_the_versions_of_the_constraints() -> None:
    """The test below runs with the packages of constraints.txt: a version raised there must not silence it."""
    pinned = constraints()
    made_with = read_json(RECORD)["pages_from"]["versions"]
    other = {name: (version, pinned.get(name)) for name, version in made_with.items() if pinned.get(name) != version}
    assert not other, "make the model again: python -m proof_pile.quality train --shipped --out (its path)"


def test_shipped_model_trained_again_has_the_same_bytes(tmp_path: Path) -> None:
    """Once the model had been made from text of Python itself and of packages without a pin, and this test skipped
    wherever they differed: everywhere but on one machine.
    """
    record = read_json(RECORD)
    made_with = record["pages_from"]["versions"]
    here = {}
    for name in made_with:
        try:
            here[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            here[name] = "not installed"
    other = {name: version for name, version in here.items() if version != made_with[name]}
    if other:
        pytest.skip(f"other versions than in constraints.txt have other text: {other}")
    out = tmp_path / "math-score.bin"
    assert main(["train", "--shipped", "--out", str(out)]) == 0
    again = read_json(out.with_suffix(".json"))
    assert again["lines_sha256"] == record["lines_sha256"], "a reader or the sample changed: make the model again"
    assert again == record


def write_pages(folder: Path) -> tuple[Path, Path]:
    draw = random.Random(3)
    topics = ("lemma kernel map normal subgroup order proof the of", "captain ship tea harbour rain old drank the")
    mathematics, stories = ([" ".join(draw.choices(topic.split(), k=20)) for _ in range(40)] for topic in topics)
    paths = (folder / "math.jsonl", folder / "other.jsonl")
    for path, texts in zip(paths, (mathematics, stories), strict=True):
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return paths


def test_train_command_makes_a_model_that_score_command_and_filters_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    positive, negative = write_pages(tmp_path)
    out = tmp_path / "m.bin"
    small = ["--dim", "4", "--buckets", "100", "--rate", "1", "--epochs", "10"]
    assert main(["train", "--positive", str(positive), "--negative", str(negative), *small, "--out", str(out)]) == 0
    assert read_json(out.with_suffix(".json"))["pages"] == {"math": 40, "other": 40}
    score = load_math_score(out)
    assert score("the kernel of the map is normal") > 0.5 > score("the captain drank tea")
    capsys.readouterr()
    assert main(["score", "--positive", str(positive), "--negative", str(negative), "--model", str(out)]) == 0
    assert "40 pages of mathematics, 40 others" in " ".join(capsys.readouterr().out.split())


def test_train_command_labels_pages_by_their_latex(tmp_path: Path) -> None:
    pages = tmp_path / "pages.jsonl"
    texts = [rf"Page {n} has the formula $\alpha_{n}$ in its proof." for n in range(5)] + ["no formula here at all"] * 3
    pages.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    out = tmp_path / "m.bin"
    assert main(["train", "--pages", str(pages), "--dim", "2", "--buckets", "10", "--out", str(out)]) == 0
    assert read_json(out.with_suffix(".json"))["pages"] == {"math": 5, "other": 3}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--out", "m.bin"], "name the pages to train on"),
        (
            ["train", "--positive", "nowhere", "--negative", "nowhere", "--out", "m.bin"],
            "nowhere: there is no such file",
        ),
        (["train", "--shipped", "--out", "m.model"], "must end in .bin"),
        (["train", "--shipped", "--dim", "3", "--out", "m.bin"], "a configuration says everything"),
        (["score"], "name the pages"),
    ],
)
def test_commands_refuse_wrong_input_with_a_remedy(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_model_without_a_label_for_mathematics_is_refused() -> None:
    assert load_math_score(FIXTURES / "softmax.bin")("a proof") >= 0  # it has the label "math"
    with pytest.raises(InputError, match="no such model file"):
        load_math_score(FIXTURES / "nothing.bin")


def test_line_file_gives_back_its_lines_without_empty_ones(tmp_path: Path) -> None:
    with LineFile(tmp_path / "lines.bin") as lines:
        for line, label in ((b"one two", 1), (b"  ", 0), (b"three", 0)):
            lines.add(line, label)
        data, offsets, labels = lines.arrays()
        found = [data[offsets[n] : offsets[n + 1]].tobytes() for n in range(len(labels))]
    assert (found, labels.tolist(), len(lines)) == ([b"one two", b"three"], [1, 0], 2)


def test_pieces_of_a_text_are_cut_at_empty_lines_and_lose_nothing() -> None:
    text = "\n\n".join("word " * 30 for _ in range(20))
    found = pieces(text, 500)
    assert "".join(found) == text
    assert max(map(len, found)) <= 500
    assert all(piece.startswith("\n\n") for piece in found[1:])
    assert pieces("x" * 1000, 300) == ["x" * 300] * 3 + ["x" * 100]
