"""The plot: bars for what is counted, a line for each cost that grows with something."""
from html import escape

WIDTH, HEIGHT, MARGIN = 400, 220, 48
COLOURS = ("#1565c0", "#e65100", "#558b2f", "#6a1b9a")
STYLE = ("text{font:12px sans-serif;fill:#222}.t{font-weight:bold}.a{stroke:#999}"
         "@media (prefers-color-scheme:dark){text{fill:#ddd}}")


def text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{kind}">{escape(str(words))}</text>'


def number(value):
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def bars(title, values):
    """values: {name: amount}"""
    out = [text(0, 16, title, kind="t")]
    most = max(values.values()) or 1
    for i, (name, value) in enumerate(values.items()):
        y = 34 + i * 30
        out.append(text(0, y + 14, name))
        width = max(1, 210 * value / most)
        out.append(f'<rect x="110" y="{y}" width="{width:.0f}" height="20" fill="{COLOURS[i % 4]}"/>')
        out.append(text(116 + width, y + 14, number(value)))
    return out


def lines(title, curves):
    """curves: {name: [[x, y], ...]}; x is spread by rank, as it doubles."""
    xs = sorted({x for points in curves.values() for x, _ in points})
    most = max((y for points in curves.values() for _, y in points), default=1) or 1
    right, bottom = WIDTH - MARGIN, HEIGHT - MARGIN

    def place(x, y):
        step = (right - 40) / max(1, len(xs) - 1)
        return 40 + xs.index(x) * step, bottom - (bottom - 40) * y / most

    out = [text(0, 16, title, kind="t"), f'<path class="a" fill="none" d="M40 40V{bottom}H{right}"/>',
           text(36, 44, number(most), "end"), text(36, bottom, 0, "end")]
    out += [text(place(x, 0)[0], bottom + 16, x, "middle") for x in xs]
    for i, (name, points) in enumerate(curves.items()):
        path = " ".join(f"{x:.0f},{y:.0f}" for x, y in (place(*point) for point in points))
        out.append(f'<polyline fill="none" stroke-width="2" stroke="{COLOURS[i % 4]}" points="{path}"/>')
        out.append(f'<rect x="{40 + i * 120}" y="{HEIGHT - 22}" width="10" height="10" fill="{COLOURS[i % 4]}"/>')
        out.append(text(54 + i * 120, HEIGHT - 13, name))
    return out


def draw(bench, where):
    panels = []
    for mpm in ("prefork", "event"):
        found = bench.data.get(f"instructions, {mpm}")
        if found:
            middle = {name: sorted(runs)[len(runs) // 2] for name, runs in found.items()}
            panels.append(bars(f"Instructions added to a good request, {mpm}",
                               {name: max(0, value - middle["nothing"]) for name, value in middle.items()
                                if name != "nothing"}))
    panels += [lines(title, curves) for title, curves in bench.curves.items() if any(curves.values())]
    rows = (len(panels) + 1) // 2
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH + 20}" height="{rows * HEIGHT + 30}">',
           f"<style>{STYLE}</style>"]
    for i, panel in enumerate(panels):
        out += [f'<g transform="translate({10 + i % 2 * WIDTH},{10 + i // 2 * HEIGHT})">', *panel, "</g>"]
    out.append(text(10, rows * HEIGHT + 20, f"{where['cores']} cores, {where['processor']}"))
    return "\n".join([*out, "</svg>", ""])
