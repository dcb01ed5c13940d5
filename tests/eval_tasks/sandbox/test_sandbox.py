"""What programs give back, and what becomes of the server."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from build_runs import wait_until

from eval_tasks.answers import judge
from eval_tasks.sandbox import ANY_FORM, AnswerForm, Limits, Outcome, Sandbox, run_for_answer
from llemma.core.errors import InputError


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        opened = Sandbox(workers=4)
    except InputError as error:
        pytest.skip(f"this machine has no sandbox: {error}")
    with opened:
        yield opened


FUNCTION_USES_IMPORT = """
import math
from sympy import Rational
def half(x):
    return Rational(x, 2) * math.gcd(4, 6)
answer = half(1) / 2
"""
# program, form that is asked for, gold answer that the grader must find equal
ANSWERS = [
    ("answer = 0.5", AnswerForm.VARIABLE, "1/2"),
    ("from sympy import *\nanswer = sqrt(8)/2", AnswerForm.VARIABLE, r"\sqrt{2}"),
    (FUNCTION_USES_IMPORT, AnswerForm.VARIABLE, r"\frac12"),
    ("def solution():\n    return 18.0", AnswerForm.SOLUTION, "18"),
    ("import sympy as s\nx = s.Symbol('x')\ns.expand((x + 1)**2)", AnswerForm.EXPRESSION, "x^2+2x+1"),
    ("print('so')\nprint(7 * 6)", AnswerForm.PRINTED, "42"),
    ("import numpy as np\nanswer = np.float64(2.5)", AnswerForm.VARIABLE, r"\frac{5}{2}"),
    ("import numpy as np\nnp.arange(3) @ np.arange(3)", AnswerForm.EXPRESSION, "5"),
    ("from sympy import *\nx = Symbol('x')\nanswer = solve(2*x - 3, x)", AnswerForm.VARIABLE, "1.5"),
    ("answer = (1, 2)", AnswerForm.VARIABLE, "(1,2)"),
    ("answer = {3, 1}", AnswerForm.VARIABLE, r"\{1, 3\}"),
    ("from fractions import Fraction\nanswer = Fraction(-9, 10)", AnswerForm.VARIABLE, "-0.9"),
    ("answer = 3 + 4j", AnswerForm.VARIABLE, "3+4i"),
    (
        "from sympy import *\nanswer = Matrix([[1, 2], [3, 4]])",
        AnswerForm.VARIABLE,
        r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
    ),
]


@pytest.mark.parametrize(("program", "form", "gold"), ANSWERS)
def test_answer_of_a_program_is_text_that_the_grader_finds_equal(
    sandbox: Sandbox, program: str, form: AnswerForm, gold: str
) -> None:
    for forms in ((form,), ANY_FORM):
        answer = run_for_answer(sandbox, program, forms)
        assert answer.text is not None, answer.result
        assert str(judge(gold, answer.text).outcome) == "EQUAL", answer.text


def test_answer_of_a_half_is_not_that_of_the_published_script(sandbox: Sandbox) -> None:
    """The published script cut answers by int(), so that 0.9 was right for 1/2: both became 0."""
    text = run_for_answer(sandbox, "answer = 0.9").text
    assert text == "0.9" and str(judge("1/2", text).outcome) == "DIFFERENT"


def test_answer_of_a_program_that_failed_is_none_whatever_it_printed(sandbox: Sandbox) -> None:
    answer = run_for_answer(sandbox, "answer = 1\nprint(2)\n1/0")
    assert answer.text is None and answer.result.outcome is Outcome.ERROR
    assert answer.result.output == "2\n"
    assert answer.result.reason.endswith("ZeroDivisionError: division by zero")
    assert 'File "<program>", line 3' in answer.result.reason


def test_program_that_writes_files_finds_them_and_the_next_finds_none(sandbox: Sandbox) -> None:
    if sandbox.backend != "namespaces":
        pytest.skip("only namespaces give a folder to write in")
    program = "import os\nprint(os.listdir('/tmp'))\nopen('/tmp/x', 'w').write('1')\nprint(open('x').read())"
    assert [sandbox.run(program).output for _ in range(2)] == ["[]\n1\n"] * 2


def test_program_with_random_numbers_run_twice_gives_the_same(sandbox: Sandbox) -> None:
    program = "import random, numpy\nprint(random.random(), numpy.random.rand(), {'a', 'b', 'c'})"
    assert sandbox.run(program).output == sandbox.run(program).output != ""


def test_limits_of_time_and_cpu_are_told_apart(sandbox: Sandbox) -> None:
    slept = sandbox.run("import time\ntime.sleep(9)", limits=Limits(wall_s=0.1))
    burnt = sandbox.run("while True: pass", limits=Limits(wall_s=60, cpu_s=1))
    assert (slept.outcome, slept.reason) == ("timeout", "ran longer than 0.1 s")
    assert (burnt.outcome, burnt.reason) == ("timeout", "used 1 s of processor time")


def test_refused_program_is_never_started(sandbox: Sandbox) -> None:
    assert sandbox.run("x" * 2_000_000).outcome is Outcome.REFUSED
    assert sandbox.run("'\ud800'").outcome is Outcome.REFUSED


def test_exit_code_of_a_program_decides_between_ok_and_error(sandbox: Sandbox) -> None:
    assert sandbox.run("import sys\nprint(1)\nsys.exit()").outcome is Outcome.OK
    assert sandbox.run("import sys\nsys.exit(3)").reason == "SystemExit: 3"
    assert sandbox.run("def f(:").reason.endswith("SyntaxError: invalid syntax")


def test_sandbox_used_from_many_threads_gives_each_its_own_result(sandbox: Sandbox) -> None:
    found: dict[int, str] = {}

    def ask(number: int) -> None:
        found[number] = sandbox.run(f"print({number})").output

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"{number}\n" for number in range(16)}
    programs = [f"print({number})" for number in range(8)]
    assert [result.output for result in sandbox.run_many(programs)] == [f"{number}\n" for number in range(8)]


def descendants(pid: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text(encoding="ascii").split()):
            found |= {child} | descendants(child)
    return found


def test_server_that_is_killed_is_started_again_and_leaves_no_process() -> None:
    before = descendants(os.getpid())
    try:
        opened = Sandbox()
    except InputError as error:
        pytest.skip(f"this machine has no sandbox: {error}")
    with opened:
        servers = descendants(os.getpid()) - before
        results = []
        program = "import time\ntime.sleep(0.5)\nprint(1)"
        thread = threading.Thread(target=lambda: results.append(opened.run(program)))
        thread.start()
        while not (running := descendants(os.getpid()) - before - servers):
            thread.join(0.01)  # until the program's process is there
        os.kill(min(servers), signal.SIGKILL)  # the outermost
        thread.join()
        assert results[0].output == "1\n"  # run again on a new server
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in servers | running), 30)
    assert descendants(os.getpid()) - before == set()
    with pytest.raises(ValueError, match="closed"):
        opened.run("pass")


def test_backend_that_is_missing_is_an_error_that_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"apt install bubblewrap\)\n.*unprotected"):
        Sandbox("bwrap")
    with pytest.raises(InputError, match="image=NAME"):
        Sandbox("docker")
    with pytest.raises(InputError, match="no sandbox backend 'chroot'"):
        Sandbox("chroot")
