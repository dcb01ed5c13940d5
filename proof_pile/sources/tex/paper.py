"""A paper's files in, its documents out: the scans and the policies in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources.tex import expansion, policies, project, redpajama
from proof_pile.sources.tex.config import TexConfig

ENDINGS = (*project.TEX, *project.PACKAGES, *project.READ_IN, *project.README)


def paper_documents(
    raw: Mapping[str, bytes], config: TexConfig, *, source: str, name: str, meta: Mapping[str, Any]
) -> Iterator[Document | Quarantined]:
    """The documents of one paper: the main one under the paper's name, others as "<name>/<file>"."""
    if sum(map(len, raw.values())) > config.max_paper_bytes:
        yield Quarantined(path=name, reason=f"paper longer than {config.max_paper_bytes} bytes")
        return
    if config.mode == "redpajama":
        text = redpajama.clean_paper(raw)
        if not text:
            yield Quarantined(path=name, reason="RedPajama's rules leave nothing of it")
        else:
            yield make_document(source, name, text, {"language": "tex", **meta, **config.meta})
        return
    files = project.load(raw)
    for path in files.binary:
        yield Quarantined(path=name, member=path, reason="binary data", excerpt=excerpt(raw[path]))
    paths = project.documents(files)
    if not paths:
        if not files.binary:
            has_tex = any(not path.lower().endswith(project.README) for path in raw)
            reason = "no main file: no TeX file has \\documentclass or a section" if has_tex else "no TeX source"
            yield Quarantined(path=name, reason=reason)
        return
    for number, path in enumerate(paths):
        if number and config.mains == "first":
            break
        text, found = _document(files, path, config)
        if not text.strip():
            reason = "no text between \\begin{document} and its end"
            yield Quarantined(path=name, member=path, reason=reason)
            continue
        full = name if number == 0 else f"{name}/{path}"
        yield make_document(source, full, text, {"language": "tex", **meta, **found, **config.meta})


def _document(files: project.Project, main: str, config: TexConfig) -> tuple[str, dict[str, Any]]:
    whole = project.assemble(files, main, bbl=config.bibliography == "inline", max_bytes=config.max_paper_bytes)
    expanded = expansion.expand(
        whole.text,
        packages=whole.packages,
        macros=config.macros != "leave",
        max_args=0 if config.macros == "arguments-free" else 9,
    )
    body = policies.apply(expanded, config)
    meta: dict[str, Any] = {"title": body.title, "main": main, "abstract": body.has_abstract}
    encodings = {files.encodings[path] for path in whole.used}
    if encodings - {"utf-8"}:
        meta["encodings"] = sorted(encodings)
    if expanded.num_expanded:
        meta["macros_expanded"] = expanded.num_expanded
    if expanded.num_left:
        meta["macros_left"] = expanded.num_left
    if expanded.stopped:
        meta["macro_limit"] = expanded.stopped
    if whole.missing:
        meta["missing_inputs"] = whole.missing[:20]
    if whole.truncated:
        meta["input_limit"] = True
    return body.text, meta
