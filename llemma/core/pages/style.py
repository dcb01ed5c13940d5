"""The page's style sheet: one column of cards, light and dark by the reader's own setting, and for paper."""

from __future__ import annotations

# Series colours after Okabe and Ito (distinguishable with colour-blind eyes), lighter ones on the dark theme.
STYLE = """
:root {
  color-scheme: light dark;
  --paper: #f6f5f1; --card: #ffffff; --ink: #1b1f27; --quiet: #5b6270; --line: #dfddd5; --accent: #14508c;
  --tint: #eef3f9; --warn: #fdf3d8; --warn-line: #d9b44a; --edge: rgba(20, 30, 50, .16);
  --c0: #14609f; --c1: #c2500a; --c2: #0b7f5f; --c3: #a04a86; --c4: #8a6a00; --c5: #4a6fa8;
  --o0: #0b7f5f; --o1: #b3412c; --o2: #8b8f99; --o3: #a67600; --o4: #6d4fa0; --on-o: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161b; --card: #1c1f26; --ink: #e8e6e1; --quiet: #a2a8b4; --line: #343944; --accent: #86b8ee;
    --tint: #222a36; --warn: #3a3115; --warn-line: #a3852f; --edge: rgba(0, 0, 0, .55);
    --c0: #6fb1ee; --c1: #f19a5b; --c2: #4fc6a0; --c3: #dc93c6; --c4: #e0bd4f; --c5: #9db8e6;
    --o0: #4fc6a0; --o1: #ee8a76; --o2: #8d93a0; --o3: #e0bd4f; --o4: #b79ce6; --on-o: #14161b;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 3.2rem; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem 1rem; z-index: 3; }
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.2rem; }
h1 { font-size: clamp(1.7rem, 5vw, 2.5rem); line-height: 1.15; margin: 0; letter-spacing: -.02em;
  overflow-wrap: anywhere; }
.eyebrow { color: var(--accent); font-weight: 650; font-size: .82rem; letter-spacing: .08em;
  text-transform: uppercase;
  margin: 0 0 .4rem; }
.lead { color: var(--quiet); margin: .5rem 0 1.4rem; max-width: 46rem; }
nav { position: sticky; top: 0; z-index: 2; background: var(--paper); border-bottom: 1px solid var(--line); }
nav ul { max-width: 76rem; margin: 0 auto; padding: .55rem 1.25rem; display: flex; gap: 1.3rem; list-style: none;
  overflow-x: auto; white-space: nowrap; }
nav a { color: var(--quiet); text-decoration: none; font-size: .92rem; }
nav a:hover, nav a:focus { color: var(--accent); text-decoration: underline; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), 1fr)); gap: .8rem;
  margin: 0 0 1.4rem;
  padding: 0; }
.cards > div { background: var(--card); border: 1px solid var(--line); border-radius: .7rem; padding: .85rem 1rem; }
.cards dt { color: var(--quiet); font-size: .85rem; }
.cards dd { margin: .1rem 0 0; font-size: 1.55rem; font-weight: 650; letter-spacing: -.01em; line-height: 1.25; }
.cards dd small { display: block; font-size: .82rem; font-weight: 400; color: var(--quiet); letter-spacing: 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .9rem; padding: 1.3rem 1.4rem;
  margin: 1.2rem 0; }
h2 { font-size: 1.3rem; margin: 0 0 .3rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
section > p { margin: .3rem 0 1rem; max-width: 52rem; color: var(--quiet); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1.6rem 2rem;
  align-items: start; margin-top: .8rem; }
figure { margin: 0; min-width: 0; max-width: 42rem; }
figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .5rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
.only-narrow { display: none; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--quiet); }
svg text.strong { fill: var(--ink); font-weight: 550; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--quiet); stroke-width: 1; }
svg .border { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 3 4; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .line.faint { stroke-width: 1.2; opacity: .55; }
svg .whisker { stroke-width: 6; opacity: .35; stroke-linecap: round; }
svg .dot { stroke: var(--card); stroke-width: 1.5; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); }
.s3 { stroke: var(--c3); } .s4 { stroke: var(--c4); } .s5 { stroke: var(--c5); }
.c0 { fill: var(--c0); } .c1 { fill: var(--c1); } .c2 { fill: var(--c2); }
.c3 { fill: var(--c3); } .c4 { fill: var(--c4); } .c5 { fill: var(--c5); }
.o0 { fill: var(--o0); } .o1 { fill: var(--o1); } .o2 { fill: var(--o2); } .o3 { fill: var(--o3); }
.o4 { fill: var(--o4); }
svg text.on-o0, svg text.on-o1, svg text.on-o2, svg text.on-o3, svg text.on-o4 { fill: var(--on-o);
  font-weight: 600; }
/* A shadow at an edge says that there is more of the table there: it is hidden by the card's colour at the end. */
.scroll { overflow-x: auto; margin: .6rem 0; background:
  linear-gradient(to right, var(--card) 40%, transparent) left / 2.5rem 100% no-repeat local,
  linear-gradient(to left, var(--card) 40%, transparent) right / 2.5rem 100% no-repeat local,
  linear-gradient(to right, var(--edge), transparent) left / .9rem 100% no-repeat scroll,
  linear-gradient(to left, var(--edge), transparent) right / .9rem 100% no-repeat scroll; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); font-size: .88rem; padding-bottom: .35rem; }
th, td { text-align: left; padding: .42rem .8rem .42rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { color: var(--quiet); font-weight: 550; font-size: .85rem; white-space: nowrap; }
tbody th { font-weight: 550; }
.prose { min-width: 14rem; }
.prompts { margin: 0; padding-left: 1.1rem; font-size: .92rem; max-width: 52rem; overflow-wrap: anywhere; }
.prompts + .scroll { margin-top: 1.2rem; }
.number { text-align: right; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
code, pre, .math, .written { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .86em; }
code { overflow-wrap: anywhere; }
.written { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; }
details { margin: .8rem 0 0; }
summary { cursor: pointer; color: var(--accent); font-size: .93rem; }
summary:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px;
  border-radius: 3px; }
.not-run, .note { border-left: 4px solid var(--warn-line); background: var(--warn); padding: .6rem .9rem;
  border-radius: .3rem;
  color: var(--ink) !important; overflow-wrap: anywhere; }
.not-run code, .note code { font-size: .9em; }
.answers { display: grid; gap: .9rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr));
  align-items: start; }
article { border: 1px solid var(--line); border-radius: .7rem; padding: .9rem 1rem; min-width: 0;
  border-top: 4px solid var(--o); }
article header { display: flex; gap: .6rem; align-items: baseline; flex-wrap: wrap; padding: 0;
  margin: 0 0 .5rem; max-width: none; }
article .problem { margin: 0 0 .6rem; overflow-wrap: anywhere; unicode-bidi: isolate; }
.v0 { --o: var(--o0); } .v1 { --o: var(--o1); } .v2 { --o: var(--o2); } .v3 { --o: var(--o3); }
.v4 { --o: var(--o4); }
.badge { background: var(--o); color: var(--on-o); border-radius: 1rem; padding: .05rem .65rem;
  font-size: .82rem; font-weight: 600; }
.where { color: var(--quiet); font-size: .85rem; overflow-wrap: anywhere; }
dl.pair { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem .8rem; margin: 0;
  font-size: .92rem; }
dl.pair dt { color: var(--quiet); }
dl.pair dd { margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--tint); border-radius: .5rem;
  padding: .7rem .8rem;
  margin: .5rem 0 0; max-height: 22rem; overflow-y: auto; unicode-bidi: isolate; }
footer { color: var(--quiet); font-size: .85rem; padding-top: .6rem; padding-bottom: 3rem; }
@media (max-width: 620px) {
  header, main, footer { padding-left: .9rem; padding-right: .9rem; }
  nav ul { padding-left: .9rem; padding-right: .9rem; }
  section { padding: 1.1rem 1rem; }
  .cards { grid-template-columns: 1fr 1fr; gap: .6rem; }
  .cards dd { font-size: 1.25rem; }
  .prose { min-width: 20rem; }
  .only-wide { display: none; }
  .only-narrow { display: block; }
}
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --quiet: #444; --line: #ccc; --tint: #f4f4f4; --accent: #000;
    --c0: #14609f; --c1: #c2500a; --c2: #0b7f5f; --c3: #a04a86; --c4: #8a6a00; --c5: #4a6fa8;
    --o0: #0b7f5f; --o1: #b3412c; --o2: #8b8f99; --o3: #a67600; --o4: #6d4fa0; --on-o: #fff; }
  body { font-size: 11pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  nav, .skip { display: none; }
  section { border: 0; padding: 0; margin: 1.2rem 0 1.8rem; }
  figure, article, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  pre { max-height: none; }
  .scroll { overflow: visible; background: none; }
}
"""
