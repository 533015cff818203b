"""The style sheet of the report, for light and dark, narrow and wide screens, and for paper."""

STYLE = """
:root{color-scheme:light dark;--b:#0072b2;--v:#d55e00}
@media (prefers-color-scheme:dark){:root{--b:#56b4e9;--v:#f0a35e}}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0 0 .3rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid color-mix(in srgb,currentColor 25%,transparent)}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
main>.scroll th,main>.scroll td{padding:.2rem .8rem .2rem 0;text-align:right}
main>.scroll td{white-space:nowrap}
main>.scroll td:first-child{white-space:normal;overflow-wrap:anywhere;min-width:6em}
svg.interval{width:15em;height:1em;vertical-align:middle}
main>.scroll th:first-child,main>.scroll td:first-child{text-align:left}
main>.scroll th{font-weight:600}
main>.scroll thead th,main>.scroll thead td{border-bottom:1px solid currentColor}
tr.kept td{font-weight:700}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.5rem 0}
dt{opacity:.7}
dd{margin:0;overflow-wrap:anywhere}
.figures figure{max-width:32rem}
.figures{margin-top:1rem;display:grid;align-items:end;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:1rem}
figure{margin:0}
.scroll+figure{margin:1rem 0;max-width:46rem}
figcaption{font-weight:600}
svg{width:100%;height:auto}
svg text{font-size:12px;fill:currentColor;font-variant-numeric:tabular-nums}
svg .g{stroke:currentColor;opacity:.14}
svg .p{stroke-width:5;stroke-linecap:round;opacity:.55;fill:none}
svg .l{stroke-width:2;fill:none}
svg .r{stroke-width:1.3;stroke-dasharray:5 4;fill:none}
svg .b{stroke-width:1;opacity:.28;fill:none}
svg .w{opacity:.75}
svg .n{stroke-dasharray:6 3}
svg .u{fill:Canvas;stroke-width:1.5}
svg .c0{stroke:var(--b)}
svg .c1{stroke:var(--v)}
svg .c2{stroke:currentColor}
.legend{margin:.2rem 0;font-size:.9rem}
.k{margin-right:1rem;padding-left:.5rem;border-left:.9rem solid}
.k.c0{border-color:var(--b)}
.k.c1{border-color:var(--v)}
.k.c2{border-color:gray}
code{overflow-wrap:anywhere}
@media print{details:not([open])>*{display:block}}
"""
