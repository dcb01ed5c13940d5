"""`llemma report RUN`: RUN/report/report.html, one page that needs nothing else, and its plots as PNG files."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `report`."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, as `llemma plan --out RUN` made it")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the report (default: RUN/report)")
    parser.add_argument("--no-png", action="store_true", help="only the page, no PNG files (needs no matplotlib)")


def run(args: argparse.Namespace) -> None:
    """Writes the page, then the plots. What the run has not reached yet stands on the page as not run."""
    from llemma.core.files import write_text
    from llemma.core.records import write_record
    from llemma.report.inputs import load_run
    from llemma.report.page import render_page

    data = load_run(args.run)
    out: Path = args.out or args.run / "report"
    page = out / "report.html"
    write_text(page, render_page(data))
    print(f"{page}: {page.stat().st_size:,} bytes")
    outputs = [page]
    if not args.no_png:
        from llemma.report.png import write_plots

        outputs += write_plots(data, out)
        print(f"{len(outputs) - 1} plots as PNG beside it")
    write_record(out / "report.json", kind="report", config={"run": str(args.run)}, outputs=outputs)
