"""How the page of a report looks, in the light, in the dark and on paper."""

PAGE_STYLE = """
:root { --paper: #fff; --ink: #1c1c1e; --quiet: #5b5b62; --line: #d9d9de; --shade: #f5f5f7; --accent: #0065a0; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17181a; --ink: #ececee; --quiet: #a9a9b2; --line: #3a3b40; --shade: #222327; --accent: #6fc0f0; }
}
@media screen and (prefers-color-scheme: dark) {
  .plot > img { filter: invert(.91) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p { max-width: 46rem; margin: .6rem 0; overflow-wrap: anywhere; }
a { color: var(--accent); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; margin: 1.25rem 0 0; list-style: none; }
.summary p:first-child { font-size: 1.15rem; }
.nothing { color: var(--quiet); }
.wide { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; min-width: 50%; font-size: .92rem; }
caption { text-align: start; font-weight: 600; padding-bottom: .35rem; max-width: calc(100vw - 2.5rem); }
th, td { padding: .35rem .9rem .35rem 0; text-align: start; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 600; }
td { overflow-wrap: break-word; max-width: 26rem; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
pre { background: var(--shade); padding: .75rem 1rem; border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
code { font: .9rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
figure { margin: 0; }
.plot { margin: 1.5rem 0; }
.plot > img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; padding: .5rem; }
figcaption { font-weight: 600; margin-bottom: .4rem; overflow-wrap: anywhere; }
details { margin-top: .4rem; }
summary { color: var(--quiet); cursor: pointer; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
.case { background: var(--shade); border: 1px solid var(--line); border-radius: 6px; padding: .75rem; }
.case p { margin: .35rem 0 0; }
.face { margin-bottom: .6rem; }
.face img { width: 112px; height: 112px; object-fit: contain; border-radius: 4px; margin-right: .4rem; }
.face figcaption { font-weight: 400; font-size: .85rem; color: var(--quiet); margin: 0; }
@media (max-width: 40rem) {
  h1 { font-size: 1.5rem; }
  .wide { background: linear-gradient(to left, var(--line), transparent) no-repeat right / .6rem 100%; }
  table { background: linear-gradient(to left, var(--paper), transparent) no-repeat right / 1.2rem 100%; }
  th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); max-width: 9rem; }
  td:last-child:not(:first-child, .number) { min-width: 13rem; }
  .plot { overflow-x: auto; }
  .plot > img { max-width: none; width: max(100%, 32rem); }
}
@media print {
  :root { --paper: #fff; --ink: #000; --quiet: #444; --line: #bbb; --shade: #fff; --accent: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, details { display: none; }
  .plot, .case, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .wide { overflow: visible; }
}
"""
