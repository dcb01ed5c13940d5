"""The report's page: complete, closed to the outside, safe, and honest about what has not been run."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from chromium import run_chromium
from run_folder import HOSTILE, append_text, make_run

from llemma.cli import main
from llemma.core.errors import InputError
from llemma.report.charts import all_figures
from llemma.report.inputs import load_run
from llemma.report.page import SECTIONS, render_page

FIGURES = {"mixture", "removals", "loss", "loss-by-source", "learning-rate", "speed"}
FIGURES |= {"scores", "outcomes", "stage-times"}
_VOID = {"meta", "link", "br", "img"}


class _Page(HTMLParser):
    """Collects tags, and whether each one that was opened is closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _parsed(page: str) -> _Page:
    parser = _Page()
    parser.feed(page)
    parser.close()
    return parser


def test_page_of_a_finished_run_holds_every_section_and_figure(page: str) -> None:
    parsed = _parsed(page)
    assert not parsed.faults and not parsed.open
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {key for key, _, _ in SECTIONS} <= set(ids)
    drawn = [attrs["data-figure"] for tag, attrs in parsed.tags if tag == "svg"]
    assert sorted(drawn) == sorted([*FIGURES, *FIGURES])  # each once for a wide and once for a narrow window
    assert "Not run." not in page


def test_page_loads_nothing_and_runs_nothing(page: str) -> None:
    parsed = _parsed(page)
    assert not {"script", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in parsed.tags}
    for _, attrs in parsed.tags:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href"):
            assert (attrs.get(name) or "#").startswith(("#", "data:,"))
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "default-src 'none'" in page


def test_hostile_text_of_models_and_corpora_is_shown_and_not_obeyed(page: str) -> None:
    assert "<script" not in page
    assert "\x00" not in page and "\u202e" not in page
    assert HOSTILE.split("\x00")[0] in "".join(_parsed(page).text)


def test_tables_have_captions_and_headers_and_figures_have_descriptions(page: str) -> None:
    parsed = _parsed(page)
    count = {tag: sum(name == tag for name, _ in parsed.tags) for tag in ("table", "caption", "thead")}
    assert count["table"] == count["caption"] == count["thead"] > 5
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in parsed.tags if tag == "th")
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for tag, attrs in parsed.tags if tag == "svg")
    assert dict(parsed.tags)["html"] == {"lang": "en"}


def test_page_shows_the_numbers_of_the_run(page: str) -> None:
    text = " ".join(_parsed(page).text)
    assert "8.393 → 3.305" in text  # validation loss, first to last, from the fixture's formula
    assert "15.0 % (maj@4)" in text
    assert "410,000" in text and "27.1 %" in text
    assert "d" * 64 in text


def test_estimates_stand_beside_measurements_with_the_share_of_the_peak(page: str) -> None:
    """31,000 tokens/s at 21 MFLOP a token are 651 GFLOP/s, of a peak of 2 TFLOP/s 32.6 %."""
    text = " ".join(_parsed(page).text)
    assert "651 GFLOP/s" in text and "800 GFLOP/s" in text
    assert "32.6 %" in text and "40.0 %" in text
    assert "200 MiB" in text


def test_page_shows_what_was_written_at_a_few_steps_from_the_first_to_the_last(page: str) -> None:
    text = " ".join(_parsed(page).text)
    shown = [step for step in range(0, 301, 25) if f"after {step} steps: <script>" in text]
    assert shown == [0, 50, 125, 175, 250, 300] and text.count("after 300 steps: ") == 2 * 2
    assert "likeliest drawn at temperature 0.8" in " ".join(text.split())


def test_page_shows_what_the_time_was_of_use_for(page: str) -> None:
    """Steps 1 to 180 took 60 s and were kept, 181 to 240 took 20 s and were made again."""
    row = page.partition("Use of the time, over all attempts")[2].partition("</tbody>")[0]
    cells = [cell.strip() for cell in _parsed(row.partition("<tbody>")[2]).text if cell.strip()]
    assert cells[:5] == ["continued pretraining", "2", "1 min 20 s (76 %)", "20.0 s (19 %)", "5.0 s (5 %)"]
    assert cells[5:] == ["none", "60", "0", "1", "2"]


def test_mfu_that_the_trainer_found_counts_before_the_plan_s(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    metrics = run / "train/01-cpt/metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    measured = [line | {"mfu": 0.123} if line["kind"] == "train" else line for line in lines]
    metrics.write_text("".join(json.dumps(line) + "\n" for line in measured), encoding="utf-8")
    text = " ".join(_parsed(render_page(load_run(run))).text)
    assert "MFU 12.3 %" in text and "32.6 %" not in text and "40.0 %" in text


def test_run_planned_without_data_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    record = run / "record.json"
    value = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps({**value, "mixture": ""}), encoding="utf-8")
    data = load_run(run)
    assert data.mixture is None and not data.notes
    assert "planned without data" in render_page(data)


def test_planned_run_shows_every_missing_part_as_not_run(tmp_path: Path) -> None:
    page = render_page(load_run(make_run(tmp_path, planned_only=True)))
    assert page.count("Not run.") >= 5
    assert "<svg" not in page
    for key, _, _ in SECTIONS:
        assert f'<section id="{key}"' in page


def test_lines_cut_off_by_a_kill_are_left_out_and_said(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    append_text(run / "train/01-cpt/metrics.jsonl", '{"kind":"train","stage":"cpt","itera')
    append_text(run / "eval/after/samples.jsonl", "not json\n")
    data = load_run(run)
    assert len(data.notes) == 2
    assert "1 line could not be read" in render_page(data)


def test_evaluation_without_results_is_named_as_unfinished(tmp_path: Path) -> None:
    """An evaluation that was killed before its results were written was missing on the page without a word."""
    run = make_run(tmp_path)
    (run / "eval/after/results.json").unlink()
    data = load_run(run)
    assert [evaluation.label for evaluation in data.evaluations] == ["before"]
    assert "no results.json yet" in render_page(data)


def test_origin_of_a_prompt_stands_below_the_scores_once(page: str) -> None:
    """As a column of the table it pushed the scores out of a window 1280 pixels wide."""
    assert page.count("own prompt; not comparable with published scores") == 1


def test_resumed_training_counts_each_step_once(tmp_path: Path) -> None:
    """A trainer that was killed writes the steps since its last checkpoint again."""
    run = make_run(tmp_path)
    metrics = run / "train/01-cpt/metrics.jsonl"
    again = metrics.read_text(encoding="utf-8").splitlines()[40:80]
    append_text(metrics, "\n".join(again) + "\n")
    stage = load_run(run).stages[0]
    assert [line.iteration for line in stage.train] == list(range(1, 301))


def test_stages_that_count_from_one_again_are_laid_end_to_end(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    from run_folder import make_metrics

    make_metrics(run / "train/02-long/metrics.jsonl", "long", num_steps=100)
    data = load_run(run)
    assert [stage.offset for stage in data.stages] == [0, 300]
    loss = next(figure for figure in all_figures(data) if figure.key == "loss")
    steps = [x for x, _ in loss.series[0].points]  # type: ignore[union-attr]
    assert steps == sorted(steps) and steps[-1] == 400


def test_losses_of_preferences_are_not_taken_for_nats_per_token(tmp_path: Path) -> None:
    """The page said that the last stage, KTO, had brought the loss from 8 to 0.4 nats per token."""
    from run_folder import make_metrics

    run = make_run(tmp_path)
    before = load_run(run)
    metrics = run / "train/02-kto/metrics.jsonl"
    make_metrics(metrics, "kto", num_steps=20)
    lines = [json.loads(line) | {"loss": 0.4321} for line in metrics.read_text(encoding="utf-8").splitlines()]
    told = [line | {"measures": {"kl": 0.1}} if line["kind"] == "train" else line for line in lines]
    metrics.write_text("".join(json.dumps(line) + "\n" for line in told), encoding="utf-8")
    data = load_run(run)
    assert (before.loss_unit, data.loss_unit) == ("nats per token", "nats per token; DPO and KTO: their own")
    last = f"{before.stages[0].validation[-1].loss:.3f}"
    text = re.sub(r"\s+", " ", " ".join(_parsed(render_page(data)).text))
    assert f"Validation loss {last} from" in text and "Validation loss 0.432" not in text


def test_long_runs_keep_their_spikes_when_points_are_thinned(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    from run_folder import make_metrics

    metrics = run / "train/01-cpt/metrics.jsonl"
    make_metrics(metrics, "cpt", num_steps=5000)
    append_text(metrics, '{"kind":"train","stage":"cpt","iteration":2501,"loss":99.5}\n')
    loss = next(figure for figure in all_figures(load_run(run)) if figure.key == "loss")
    points = loss.series[0].points  # type: ignore[union-attr]
    assert len(points) <= 700 and max(y for _, y in points) == 99.5


def test_folder_that_is_no_run_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="llemma plan"):
        load_run(tmp_path)


def test_command_writes_page_plots_and_record_with_the_same_bytes_each_time(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        assert main(["report", str(finished_run), "--out", str(tmp_path / name)]) == 0
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(["report.html", "report.json", *(f"{key}.png" for key in FIGURES)])
    for name in files:
        if name != "report.json":
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a/loss.png").read_bytes().startswith(b"\x89PNG")


def test_missing_matplotlib_is_named_after_the_page_was_written(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["report", str(finished_run), "--out", str(tmp_path)]) == 2
    assert "llemma[plots]" in capsys.readouterr().err
    assert (tmp_path / "report.html").exists()
    assert main(["report", str(finished_run), "--out", str(tmp_path), "--no-png"]) == 0


def test_chromium_shows_the_figures_and_nothing_sticks_out_of_a_narrow_window(page: str, tmp_path: Path) -> None:
    """The page is measured by a script in a page around it, since it runs none itself."""
    report = tmp_path / "report.html"
    report.write_text(page, encoding="utf-8")
    around = tmp_path / "around.html"
    around.write_text(
        "<body><iframe id=f style='width:400px;height:800px'></iframe><pre id=o></pre><script>"
        "f.onload=()=>{const d=f.contentDocument;"
        "const seen=[...d.querySelectorAll('svg')].filter(s=>s.getBoundingClientRect().width>0);"
        "const box=s=>s.getBoundingClientRect();"
        "o.textContent='sideways='+(d.documentElement.scrollWidth-d.documentElement.clientWidth)"
        "+' figures='+seen.map(s=>s.dataset.figure).sort().join(',')"
        "+' drawn='+seen.every(s=>box(s).height>60&&s.querySelector('rect,polyline,circle'))};"
        f"f.src='{report.name}'</script>",
        encoding="utf-8",
    )
    dom = run_chromium(
        tmp_path / "profile", "--allow-file-access-from-files", "--dump-dom", "--window-size=600,900", around.as_uri()
    )
    found = re.search(r"sideways=(-?\d+) figures=(\S+) drawn=(\w+)", dom)
    assert found is not None, dom[-500:]
    assert int(found[1]) <= 0
    assert set(found[2].split(",")) == FIGURES
    assert found[3] == "true"


def test_chromium_draws_the_page_in_both_themes(page: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(page, encoding="utf-8")
    brightness = []
    for name, setting in (("light", 1), ("dark", 0)):
        picture = tmp_path / f"{name}.png"
        run_chromium(
            tmp_path / "profile", f"--blink-settings=preferredColorScheme={setting}", "--window-size=1280,900",
            f"--screenshot={picture}", report.as_uri(),
        )  # fmt: skip
        from matplotlib.image import imread

        brightness.append(float(imread(picture)[..., :3].mean()))
    assert brightness[0] > 0.8 and brightness[1] < 0.35
