"""Conversions that are killed go on to the same bytes, and what was written can be checked at any time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from llemma.checkpoint import conversion
from llemma.checkpoint.conversion import convert
from llemma.checkpoint.hf_files import HfSink
from llemma.checkpoint.journal import Journal
from llemma.checkpoint.planning import Request, plan_conversion
from llemma.checkpoint.rank_files import RankSink
from llemma.checkpoint.verification import verify
from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import sha256_file

MakeModel = Callable[..., Path]

COUNTED = {
    HfSink: ("make_room", "open", "write", "sync", "close"),
    RankSink: ("make_room", "open", "write", "sync", "close"),
    Journal: ("_add", "finish"),
    conversion: ("write_json", "write_text", "_write_record", "sync_folder"),
}
"""The steps of a conversion; before any of them it may be killed."""

NEVER = 10_000


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "conversion.json"
    }


def record(folder: Path) -> dict:
    """What the record says, apart from when, how long, and how it was asked for."""
    value = json.loads((folder / "conversion.json").read_text())
    return {key: value[key] for key in value if key not in ("created", "seconds", "config")}


def converted_until(request: Request, last: int) -> int:
    """A conversion in a child process that is killed (SIGKILL, no clean-up) before step `last`; how the child ended.

    Forked, not started anew: importing torch a dozen times would take longer than all else here.
    """
    child = os.fork()
    if child == 0:
        left = last

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **options: object) -> object:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **options)

            return call

        try:
            for holder, names in COUNTED.items():
                for name in names:
                    setattr(holder, name, counted(getattr(holder, name)))
            convert(plan_conversion(request))
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("to", ["neox", "hf"])
def test_conversion_killed_again_and_again_ends_with_the_same_bytes(
    make_model: MakeModel, tmp_path: Path, to: str
) -> None:
    """Each run gets a little further than the one before and is killed there; none begins anew."""
    source = make_model(layers=1, vocab=98)
    if to == "hf":
        convert(plan_conversion(Request(source=source, out=tmp_path / "between", tensor_parallel=2)))
        source = tmp_path / "between"
    options = {"tensor_parallel": 2} if to == "neox" else {}
    convert(plan_conversion(Request(source=source, out=tmp_path / "whole", to=to, **options)))
    out = tmp_path / "out"
    request = Request(source=source, out=out, to=to, sync_bytes=30_000, **options)
    for last in (2, 4, 7, 10, 15, 20, 24):
        ended = converted_until(request, last)
        assert ended in (0, -signal.SIGKILL)
        assert out.exists() == (ended == 0)
        if ended == 0:
            break
    else:
        assert converted_until(request, NEVER) == 0
    assert last > 10  # it was killed a few times in the midst of the tensors
    assert digests(out) == digests(tmp_path / "whole")
    assert record(out) == record(tmp_path / "whole")
    assert not list(tmp_path.glob(".partial-*"))


def test_conversion_stopped_by_a_full_disk_goes_on_with_what_is_left(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = make_model(), tmp_path / "out"
    plan = plan_conversion(Request(source=source, out=out, to="hf", sync_bytes=1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "_write_beside", full)
        with pytest.raises(OSError, match="No space left"):
            convert(plan)
    written: list[str] = []
    real = HfSink.write
    monkeypatch.setattr(HfSink, "write", lambda self, name, tensor: (written.append(name), real(self, name, tensor)))
    convert(plan_conversion(Request(source=source, out=out, to="hf")))
    assert written == []  # every tensor was on the disk already
    assert verify(out).num_tensors == len(plan.facts)


def test_left_over_of_another_source_is_not_gone_on_from(make_model: MakeModel, tmp_path: Path) -> None:
    first, second, out = make_model("first"), make_model("second", kv_heads=2), tmp_path / "out"
    assert converted_until(Request(source=first, out=out, to="hf", sync_bytes=1), 12) == -signal.SIGKILL
    assert (tmp_path / ".partial-out/journal.jsonl").is_file()
    convert(plan_conversion(Request(source=second, out=out, to="hf")))
    convert(plan_conversion(Request(source=second, out=tmp_path / "whole", to="hf")))
    assert digests(out) == digests(tmp_path / "whole")


def test_second_conversion_into_the_same_folder_at_the_same_time_is_refused(
    make_model: MakeModel, tmp_path: Path
) -> None:
    held = Journal(tmp_path / ".partial-out", "a plan")
    with pytest.raises(InputError, match="another conversion is writing there now"):
        convert(plan_conversion(Request(source=make_model(), out=tmp_path / "out")))
    held.finish()


def test_verification_names_the_file_and_the_tensor_that_changed(make_model: MakeModel, tmp_path: Path) -> None:
    source, out = make_model(), tmp_path / "out"
    convert(plan_conversion(Request(source=source, out=out, to="hf")))
    found = verify(out)
    assert (found.num_tensors, found.num_files) == (21, len(digests(out)))
    raw = bytearray((out / "model.safetensors").read_bytes())
    raw[-5] ^= 0xFF
    (out / "model.safetensors").write_bytes(bytes(raw))
    (out / "generation_config.json").unlink()
    with pytest.raises(DamagedFileError) as caught:
        verify(out)
    assert "model.safetensors: its bytes have changed" in str(caught.value)
    assert "generation_config.json: this file is missing" in str(caught.value)
    assert "lm_head.weight: is not what was written" in str(caught.value)
    (out / "model.safetensors").write_bytes(bytes(raw)[:100])
    with pytest.raises(DamagedFileError, match="its tensors could not be looked at"):
        verify(out)
    with pytest.raises(InputError, match="only a folder that `llemma convert` wrote"):
        verify(source)


def test_verification_finds_a_record_of_other_weights(make_model: MakeModel, tmp_path: Path) -> None:
    """Every file is as listed, and still the tensors are not those of the record."""
    for name in ("one", "two"):
        source = make_model(f"model-{name}")
        convert(plan_conversion(Request(source=source, out=tmp_path / name, tensor_parallel=1)))
    path = tmp_path / "one/conversion.json"
    value = json.loads(path.read_text())
    value["tensors"]["model.norm.weight"]["sha256"] = "0" * 64
    path.write_text(json.dumps(value))
    with pytest.raises(DamagedFileError, match=r"model\.norm\.weight: is not what was written"):
        verify(tmp_path / "one")
    assert verify(tmp_path / "two").weights_sha256 == value["weights_sha256"]


def test_disk_with_too_little_room_is_refused_before_anything_is_written(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InputError, match="GB are free there, but the conversion takes"):
        plan_conversion(Request(source=make_model(), out=tmp_path / "out"))
