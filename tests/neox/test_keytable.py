from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llemma.core.errors import InputError
from llemma.neox.keytable import known_keys, read_checkout, table_commit

NEOX_DIR = os.environ.get("NEOX_DIR")

SOURCE = '''
from dataclasses import dataclass
from typing import List, Literal, Optional, Union

@dataclass
class NeoXArgsSmall(Template):
    width: int = None
    """how wide"""
    rate: float = 1.0e-5
    names: list = None
    kind: Literal["a", "B"] = "a"
    factor: Union[int, float] = None
    place: Optional[str] = None
    ports: Union[int, List[int]] = 6000
    made = None
    hash: str = call()
    width: int = 7

class Other:
    hidden: int = 1
'''


def checkout(tmp_path: Path, source: str) -> Path:
    folder = tmp_path / "megatron/neox_arguments"
    folder.mkdir(parents=True)
    (folder / "neox_args.py").write_text(source)
    (folder / "deepspeed_args.py").write_text("")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_read_checkout_of_a_small_source_gives_types_defaults_and_lines(tmp_path: Path) -> None:
    table = read_checkout(checkout(tmp_path, SOURCE))
    keys = table["keys"]
    assert len(table["commit"]) == 40
    assert {name: (entry["type"], entry["default"]) for name, entry in keys.items()} == {
        "width": ("int", 7),
        "rate": ("float", 1e-5),
        "names": ("list", None),
        "kind": ("str", "a"),
        "factor": ("number", None),
        "place": ("str", None),
        "ports": ("int|list", 6000),
        "hash": ("str", None),
    }
    assert keys["kind"]["choices"] == ["a", "B"]
    assert keys["rate"]["source"] == "megatron/neox_arguments/neox_args.py:9"
    assert keys["rate"]["group"] == "Small"


def test_read_checkout_of_another_folder_says_that_it_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a GPT-NeoX checkout"):
        read_checkout(tmp_path)


def test_read_checkout_of_broken_source_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neox_args\.py:2: this is not readable Python"):
        read_checkout(checkout(tmp_path, "x = 1\ndef ("))


def test_keytable_program_on_another_folder_ends_with_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "llemma.neox.keytable", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("num_layers", 4, None),
        ("num_layers", 4.0, "must be of type int"),
        ("num_layers", True, "must be of type int"),
        ("min_lr", 0, None),  # NeoX takes whole numbers for floats
        ("min_lr", "1e-4", "must be of type float"),  # what PyYAML makes of 1e-4
        ("norm", "RMSNorm", None),  # NeoX compares words without their case
        ("norm", "batchnorm", "must be one of layernorm, rmsnorm"),
        ("weight_server_port", [1, 2], None),
        ("checkpoint_factor", 1.5, None),
        ("load", None, None),
    ],
)
def test_complaint_about_a_value_follows_neox_own_type_check(key: str, value: object, complaint: str | None) -> None:
    found = known_keys()[key].complaint(value)
    assert (found is None) == (complaint is None)
    assert complaint is None or complaint in str(found)


def test_committed_table_has_the_keys_that_every_recipe_needs() -> None:
    keys = known_keys()
    assert table_commit() == "ea7aefd8f8e183256992d9fede4d7c71a46d67a5"
    assert {"num_kv_heads", "rotary_emb_base", "train_data_weights", "zero_optimization", "warmup"} <= keys.keys()
    assert keys["use_bias_in_mlp"].default is True
    assert not {"attention_type", "decay_lr_to", "warmup_iters"} & keys.keys()  # in upstream's own Llemma files


@pytest.mark.skipif(NEOX_DIR is None, reason="NEOX_DIR is not set: no GPT-NeoX checkout to compare the key table with")
def test_committed_table_equals_the_one_of_the_checkout() -> None:
    command = [sys.executable, "-m", "llemma.neox.keytable", str(NEOX_DIR), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
