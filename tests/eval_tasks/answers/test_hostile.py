"""Inputs that hang, crash or take over graders: each must end soon, in little memory, with nothing run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from eval_tasks.answers.judge import FAULT

ATTACKS: dict[str, tuple[str, str]] = {
    "import": ("1/2", "__import__('os').system('touch MARK')"),
    "import in text": ("1/2", r"\text{__import__('os').system('touch MARK')}"),
    "eval": ("1/2", "eval(compile('open(\"MARK\",\"w\")','','exec'))"),
    "power of a call": ("1/2", "2**open('MARK','w').write('x')"),
    "class walk": ("1/2", "().__class__.__base__.__subclasses__()"),
    "input": ("1/2", r"\input{/etc/passwd}"),
    "write18": ("1/2", r"\write18{touch MARK}"),
    "macro loop": ("1/2", r"\def\x{\x\x}\x"),
    "tower": ("1/2", "10^{10^{10}}"),
    "tower of factorials": ("1/2", "9!!!!!!!!"),
    "large factorial": ("1/2", "100000000!"),
    "small base": ("1/2", "0.5^{99999999999}"),
    "long product": ("1/2", r"\prod_{k=1}^{100000000} k"),
    "fractions that grow": ("1/2", r"\sum_{k=1}^{2000} \frac{1}{k^{50}}"),
    "nested sums": ("1/2", r"\sum_{a=1}^{1000}" * 6 + "a"),
    "large polynomial": ("x", "(a+b+c+d+f+g+h+j+k+m)^{60}"),
    "product of polynomials": ("x", "(x+y+z+1)" * 300),
    "large gcd": ("1/2", r"\gcd(10^{100000}, 6^{100000})"),
    "large binomial": ("1/2", r"\binom{10000000}{5000000}"),
    "hard root": ("1/2", r"\sqrt{" + "1" + "0" * 400 + "7}"),
    "hard integral": ("x", r"\int \sqrt{x^5+x^3+x+1}\ln(x) dx"),
    "wild integral": ("1/2", r"\int_0^1 \sin(\frac{1}{x^{50}}) dx"),
    "many plus-minus": ("1", "1" + r"\pm 2" * 30),
    "nested fractions": ("1", r"\frac{1}{" * 3000 + "1" + "}" * 3000),
    "nested brackets": ("1", "(" * 3000 + "1" + ")" * 3000),
    "nested squares": ("1", "[" * 300 + "1" + "]" * 300),
    "nested roots": ("1", r"\sqrt{" * 900 + "1" + "}" * 900),
    "nested signs": ("1", "-" * 11_001 + "1"),
    "power chain": ("1", "2" + "^2" * 4000),
    "bars": ("1", "|" * 5000),
    "open braces": ("1", "{" * 1_000_000),
    "digits": ("1", "9" * 1_000_000),
    "digits within the bound": ("1", "9" * 11_000),
    "backslashes": ("1", "\\" * 1_000_000),
    "spaces": ("1", "1 " * 5_900),
    "dollars": ("2", "$ " * 5_000 + "1"),
    "text": ("1", r"\text{a}" * 1_500),
    "words": ("1", "the answer is " * 800),
    "commas": ("1,2", "1," * 5_900),
    "long lists": (",".join(f"x_{k}" for k in range(60)), ",".join(f"x_{k}+1" for k in range(60))),
    "letters": ("1", "x" * 11_000),
    "groups": ("1", "(1+1)" * 2_300),
    "large matrix": ("1", r"\begin{pmatrix}" + r"1&1&1\\" * 1_500 + r"\end{pmatrix}"),
    "exponents": ("1", "1e999999999"),
    "thousands": ("1", "1" + ",000" * 2_900),
    "large base": ("1", "2^{50000}_2"),
    "large argument": ("1", r"\sin(2^{50000})"),
    "large limit": ("1", r"\lim_{x\to 0} 2^{50000}x"),
    "large decimal": ("1", r"1.5 \times 2^{50000}"),
    "surrogate": ("1", "\ud800\udfff"),
    "control": ("1", "\x00\x01\x1b[2J"),
    "combining": ("1", "1" + "\u0301" * 10_000),
}
RUNNER = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))
from eval_tasks.answers import extract, judge
judge("\\\\sum_{k=1}^{\\\\infty} 2^{-k}", "1")  # starts the worker, whose start is not the attack's time
attacks = json.load(open(sys.argv[1]))
for name, (gold, prediction) in attacks.items():
    for a, b in ((gold, prediction), (prediction, gold)):
        seconds = 60.0
        for _ in range(3):  # other programs on the machine may make one try slow, not three
            started = time.perf_counter()
            judged = judge(a, b)
            judge(a, b, "hendrycks")
            extract(b)
            seconds = min(seconds, time.perf_counter() - started)
            if seconds < 0.5:
                break
        # Not ru_maxrss: Linux hands a parent's peak on through fork and exec.
        memory = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
        print(json.dumps([name, judged.outcome, judged.reason, seconds, memory]))
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, str, float, int]]:
    folder = tmp_path_factory.mktemp("hostile")
    mark = folder / "mark"
    attacks = {name: [part.replace("MARK", str(mark)) for part in pair] for name, pair in ATTACKS.items()}
    (folder / "attacks.json").write_text(json.dumps(attacks))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(folder / "attacks.json")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not mark.exists(), "an answer was run"
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_hostile_answers_are_all_judged_and_none_is_equal(
    rows: list[tuple[str, str, str, float, int]],
) -> None:
    assert {name for name, *_ in rows} == set(ATTACKS)
    assert not [row for row in rows if row[1] == "EQUAL" or FAULT in row[2]]


def test_hostile_answers_each_take_less_than_a_second(rows: list[tuple[str, str, str, float, int]]) -> None:
    assert not [row for row in rows if row[3] > 1.0]


def test_hostile_answers_leave_memory_below_200_megabytes(
    rows: list[tuple[str, str, str, float, int]],
) -> None:
    assert max(row[4] for row in rows) < 200
