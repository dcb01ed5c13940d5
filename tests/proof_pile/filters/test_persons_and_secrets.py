"""Keys and addresses go, mathematics stays."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from pydantic import TypeAdapter

from proof_pile.documents import make_document
from proof_pile.filters import Drop, FilterConfig, Keep, make_filter
from proof_pile.filters.marker_scan import MarkerScan, count_digits
from proof_pile.filters.secrets import entropy

ADAPTER: TypeAdapter[Any] = TypeAdapter(FilterConfig)


def rewritten(text: str, kind: str, **settings: Any) -> str:
    verdict = make_filter(ADAPTER.validate_python({"kind": kind, **settings}))(make_document("code", "n", text))
    assert isinstance(verdict, Keep)
    assert (
        "personal_data" in verdict.document.meta or "secrets" in verdict.document.meta or verdict.document.text == text
    )
    return verdict.document.text


def random_text(
    length: int, alphabet: str = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", seed: int = 7
) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=length))


# Every key here is made up by a random generator.
KEYS = [
    "AKIA" + random_text(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    "ghp_" + random_text(36),
    "github_pat_" + random_text(60),
    "glpat-" + random_text(20),
    "xoxb-" + random_text(40),
    "AIza" + random_text(35),
    "sk-" + random_text(48),
    "sk_live_" + random_text(24),
    "hf_" + random_text(34, "abcdefghijkLMNOPQRSTUVWXYZ"),
    "npm_" + random_text(36),
    "pypi-AgE" + random_text(60),
    "SG." + random_text(22) + "." + random_text(43),
    "eyJhbGciOiJIUzI1NiJ9.eyJ" + random_text(30) + "." + random_text(43),
]


@pytest.mark.parametrize("key", KEYS)
def test_key_with_its_issuers_beginning_is_taken_out(key: str) -> None:
    assert rewritten(f"é token {key} end", "secrets") == "é token <KEY> end"


def test_secrets_that_are_assigned_or_stand_in_an_address_are_taken_out() -> None:
    value = random_text(24)
    assert rewritten(f'API_KEY = "{value}"', "secrets") == 'API_KEY = "<KEY>"'
    assert rewritten(f"  'client_secret': '{value}',", "secrets") == "  'client_secret': '<KEY>',"
    assert rewritten(f"postgres://admin:{value}@db.host/x", "secrets") == "postgres://admin:<KEY>@db.host/x"
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + random_text(64) + "\n-----END RSA PRIVATE KEY-----"
    assert rewritten(f"k = '''{key}'''", "secrets") == "k = '''<KEY>'''"


@pytest.mark.parametrize(
    "text",
    [
        'password = "changeme-please"',
        'secret_key = "your-api-key-here-1"',
        'token = "hello-world-this-is-text"',
        "api_key = os.environ['KEY_1234567890']",
        'sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
        "AKIAIOSFODNN7EXAMPLE",
        "the risk-neutral-measure-of-a-process and sk-learn-like-interfaces",
        "lemma hf_continuous_on_compact_subset_of_real",
        "https://example.org/a:b",
        "theorem secret_sharing : ∀ x, share x = reconstruct (split x)",
        "p = 170141183460469231731687303715884105727",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert rewritten(text, "secrets") == text


def test_document_with_a_secret_can_be_dropped() -> None:
    judge = make_filter(ADAPTER.validate_python({"kind": "secrets", "action": "drop"}))
    assert judge(make_document("c", "n", KEYS[1])) == Drop("secret")


def test_entropy_is_that_of_the_characters() -> None:
    assert entropy("aaaa") == 0 and entropy("abcd") == 2 and entropy("") == 0


PERSONAL = [
    ("Author: Ada <ada.l@maths.ox.ac.uk>", "Author: Ada <EMAIL>"),
    ("write to noether@uni-goettingen.de.", "write to <EMAIL>."),
    ("\\texttt{a.b@inf.ethz.ch}", "\\texttt{<EMAIL>}"),
    ("Tel.: +49 (551) 39-7752", "Tel.: <PHONE>"),
    ("phone number 555-867-5309, home", "phone number <PHONE>, home"),
    ("SSN: 078-05-1120", "SSN: <ID>"),
    ("IBAN GB82 WEST 1234 5698 7654 32", "IBAN <ID>"),
    ("from 151.101.65.140 at noon", "from <IP> at noon"),
]


@pytest.mark.parametrize(("text", "wanted"), PERSONAL)
def test_address_or_number_of_a_person_is_replaced(text: str, wanted: str) -> None:
    assert rewritten(text, "personal-data") == wanted


# Formulas, tables and code that look like what is sought.
MATHEMATICS = [
    "y = A@B.T + X@W.dot(v) - Q@R.at[0]",
    "f@g.mk x, h@hs.tl",
    "xs@ys.simps and @[simp] lemma a@b",
    "\\pdf@strcmp.to \\c@section.it",
    "version 1.2.3.4, section 3.12.104.7 and 10.0.0.1, 192.168.1.20, 127.0.0.1",
    "1.100.200.3.5 is an OID",
    "the networks 131.159.14.0/24 and 131.159.14.8 .. 131.159.14.110",
    "x = 555-867-5309 + (123) 456-7890",
    "the tel aviv school; intel 80386 386 486",
    "cell complex 12 13 14 15 16 17 18",
    "1234 5678 9012 3456 | 78 05 1120",
    "AB12 CDEF 3456 GHIJ 7890",  # the form of an account, without its check digits
    "git@github.com:leanprover/lean4.git",
    "user@example.com, a@localhost",
    "π ≈ 3.14159265358979 26433.83279.50288.41971",
]


@pytest.mark.parametrize("text", MATHEMATICS)
def test_mathematics_is_left_as_it_is(text: str) -> None:
    assert rewritten(text, "personal-data") == text


def test_numbers_of_a_formal_proof_are_part_of_it() -> None:
    """Isabelle's theories of firewalls state theorems about public addresses, which became "<IP>" in their proofs."""
    judge = make_filter(ADAPTER.validate_python({"kind": "personal-data"}))
    text = 'lemma "contact 151.101.65.140 = a.b@uni.de"'
    for language, wanted in (("isabelle", 'lemma "contact 151.101.65.140 = <EMAIL>"'), ("python", "<IP>")):
        verdict = judge(make_document("c", "n", text, {"language": language}))
        assert isinstance(verdict, Keep) and wanted in verdict.document.text


@pytest.mark.parametrize(
    ("credit", "wanted"),
    [
        ("name", "# Author: Emmy Noether <EMAIL>\nx = 1  # see <EMAIL>\n"),
        ("keep", "# Author: Emmy Noether <e.n@uni.de>\nx = 1  # see <EMAIL>\n"),
        ("remove", "# Author: <NAME>\nx = 1  # see <EMAIL>\n"),
    ],
)
def test_credit_of_authors_follows_the_policy(credit: str, wanted: str) -> None:
    text = "# Author: Emmy Noether <e.n@uni.de>\nx = 1  # see hilbert@uni.de\n"
    assert rewritten(text, "personal-data", credit=credit) == wanted


def test_list_of_members_is_dropped_where_asked() -> None:
    judge = make_filter(ADAPTER.validate_python({"kind": "personal-data", "max_addresses": 3}))
    text = "\n".join(f"person{n}@university.edu" for n in range(4))
    assert judge(make_document("c", "n", text)) == Drop("many-addresses")


def test_marker_scan_finds_what_an_expression_finds_whatever_the_case() -> None:
    markers = ("secret", "secrets", "AKIA", "sk-a", "://x")
    words = ["Secret", "secrets", "akia", "AKI", "sk-A", "://", "é", "://X", "ret", "\n", "sk-"]
    draw = random.Random(3)
    expression = re.compile("|".join(sorted(map(re.escape, markers), key=len, reverse=True)), re.IGNORECASE)
    scan = MarkerScan(markers)
    for _ in range(200):
        data = "".join(draw.choices(words, k=draw.randrange(30))).encode()
        wanted = [
            (n, m[0].lower())
            for n in range(len(data))
            if (m := re.compile(expression.pattern.encode(), re.I).match(data, n))
        ]
        assert list(scan.places(data)) == wanted
    many = b"secret" * 5000  # more than there is room for: the expression itself is asked
    assert sum(1 for _ in scan.places(many)) == 5000


def test_digits_and_visible_characters_are_those_of_split() -> None:
    draw = random.Random(5)
    spaces = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000\u200b\u180e"
    for _ in range(300):
        text = "".join(draw.choice(spaces + "a1é٣中𝔸\x00\x7f0") for _ in range(draw.randrange(40)))
        visible = len("".join(text.split()))
        assert count_digits(text.encode()) == (sum(text.count(d) for d in "0123456789"), visible)
