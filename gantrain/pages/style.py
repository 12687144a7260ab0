"""How the report looks, and the few lines that move its pictures."""

STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #8882; --warn: #b45309; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --warn: #f59e0b; --bad: #f87171; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .5rem 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; border-top: 1px solid var(--line); padding-top: 1rem; margin-top: 2rem; }
.facts { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: .5rem 0; padding: 0;
  list-style: none; }
.facts b { font-weight: 600; }
.charts { display: grid;
  grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 500; }
figure > svg { width: 100%; height: auto; }
svg polyline { fill: none; stroke-width: 2.5; }
svg line { stroke: var(--line); }
svg text { font-size: 20px; fill: currentColor; opacity: .7; }
svg .y, svg .e { text-anchor: end; } svg .m { text-anchor: middle; }
.c0 { stroke: #2563eb; } .c1 { stroke: #ea580c; } .c2 { stroke: #16a34a; }
.c3 { stroke: #c026d3; } .c4 { stroke: #0891b2; } .c5 { stroke: #ca8a04; }
figure ul { display: flex; flex-wrap: wrap; gap: 0 1rem; list-style: none; margin: 0;
  padding: 0; font-size: .85rem; }
figure li svg { width: 20px; height: 8px; margin-right: .3rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
td, th { border-bottom: 1px solid var(--line); padding: .2rem .8rem .2rem 0; text-align: left;
  vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: var(--soft); white-space: pre-wrap; overflow-wrap: anywhere;
  padding: .6rem .8rem; overflow-x: auto; border-radius: 4px;
  font-size: .85rem; }
img { max-width: 100%; height: auto; border-radius: 3px; }
input[type=range] { width: 100%; }
.warning b { color: var(--warn); } .critical b { color: var(--bad); }
small { opacity: .75; }
@media print { body { max-width: none; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } input, .screen { display: none; }
  details > pre { display: block; } }
"""

SCRIPT = """
const slider = document.getElementById("time"), picture = document.getElementById("grid");
const label = document.getElementById("when");
const sources = [...document.getElementById("grids")?.content.querySelectorAll("img") ?? []];
slider?.addEventListener("input", () => {
  const chosen = sources[slider.value];
  picture.src = chosen.src; picture.alt = label.textContent = chosen.alt;
});
"""
