"""Draw a project's graph as text or Mermaid, and the layers of an image and the times of a start as bars. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator

from devenv.events import Span, Timings
from devenv.lazy_dataclass import dataclass
from devenv.model.graph import Graph, Node
from devenv.model.images import Anatomy, Report
from devenv.model.project import Dependency
from devenv.model.snapshot import ago, shown
from devenv.phrases import counted
from devenv.ui.cells import clean, cut, fit

SHORTEST = 0.005  # seconds; less is shown as nothing
NARROWEST_BARS = 12  # columns; with fewer there are no bars
BAR, CRITICAL_BAR = "░", "█"
PARTS = ("images ", "build ", "restore ")
DEFAULT = "default"  # the network of services that name none
CRITICAL = "stroke:#d33,stroke-width:3px"


def tree(graph: Graph) -> list[str]:
    """Each service above its dependencies; a service that several services need is drawn once, then only named."""
    ready = "" if graph.seconds is None else f", {graph.seconds:.2f} s until ready; * is what the rest waited for"
    lines = [f"{graph.project}: {counted(len(graph.nodes), 'service')}{ready}"]
    seen: set[str] = set()
    roots = graph.roots
    for root in roots:
        lines += _branch(graph, root, None, ("", root is roots[-1]), seen)
    for kind, resources in (("networks", graph.networks), ("volumes", graph.volumes)):
        names = [f"{resource.key} (external)" if resource.external else resource.key for resource in resources]
        lines += [f"{kind}: {', '.join(names)}"] if names and names != [DEFAULT] else []
    return [clean(line) for line in lines]


def _branch(
    graph: Graph, node: Node, need: Dependency | None, place: tuple[str, bool], seen: set[str]
) -> Iterator[str]:
    indent, last = place
    mark = "* " if node.critical else ""
    optional = ", if it exists" if need and not need.required else ""
    how = f" ({_condition(need)}{optional})" if need else ""
    known = node.name in seen
    seen.add(node.name)
    yield f"{indent}{'└─' if last else '├─'} {mark}{node.name}{how}{' ↑' if known else _details(node)}"
    if not known:
        inner = f"{indent}{'   ' if last else '│  '}"
        for below in node.needs:
            yield from _branch(graph, graph.node(below.service), below, (inner, below is node.needs[-1]), seen)


def _details(node: Node) -> str:
    took = "" if node.seconds is None else f" {node.seconds:.1f} s"
    parts = {
        "ports": node.ports,
        "volumes": node.mounts,
        "networks": node.networks if node.networks != (DEFAULT,) else (),
    }
    details = "; ".join(f"{kind} {', '.join(values)}" for kind, values in parts.items() if values)
    return f"{took}  {details}" if details else took


def _condition(need: Dependency) -> str:
    return need.condition.split("_")[1]  # `service_healthy` and the like


def mermaid(graph: Graph) -> list[str]:
    """A flow chart: services and their ports, the conditions between them, volumes and networks."""
    networks = [network.key for network in graph.networks if network.key != DEFAULT]
    edges = [edge for node in graph.nodes for edge in _edges(node, networks)]
    lines = ["flowchart LR"]
    lines += (f"  {_id('s', node.name)}[{_quoted('<br>'.join((node.name, *node.ports)))}]" for node in graph.nodes)
    lines += (f"  {_id('v', volume.key)}[({_quoted(volume.key)})]" for volume in graph.volumes)
    lines += (f"  {_id('n', key)}{{{{{_quoted(key)}}}}}" for key in networks)
    lines += (f"  {edge}" for edge, _ in edges)
    if marked := [_id("s", node.name) for node in graph.nodes if node.critical]:
        lines += [f"  classDef critical {CRITICAL}", f"  class {','.join(marked)} critical"]
    if waited := [str(index) for index, (_, critical) in enumerate(edges) if critical]:
        lines.append(f"  linkStyle {','.join(waited)} {CRITICAL}")
    return lines


def _edges(node: Node, networks: Collection[str]) -> Iterator[tuple[str, bool]]:
    """The edges from a service, and for each whether the last start waited for it."""
    begin = _id("s", node.name)
    for need in node.needs:
        arrow = "-->" if need.required else "-.->"
        is_critical = node.critical and node.after == need.service
        yield f"{begin} {arrow}|{_condition(need)}| {_id('s', need.service)}", is_critical
    for volume in dict.fromkeys(node.volumes):
        yield f"{begin} --- {_id('v', volume)}", False
    for network in node.networks:
        if network in networks:
            yield f"{begin} -.- {_id('n', network)}", False


def _id(kind: str, name: str) -> str:
    """A unique id that is not a keyword of Mermaid."""
    return f"{kind}_{re.sub(r'[^A-Za-z0-9]', lambda match: f'_{ord(match[0]):x}_', name)}"


def _quoted(text: str) -> str:
    return '"' + clean(text).replace('"', "#quot;") + '"'


OWN, SHARED = "█", "░"
NARROWEST, WIDEST = 8, 60  # columns of a bar
COLUMNS = len("12   123 MB  12 days    ")
FEW = 5  # other images that are named; the rest is counted


@dataclass(frozen=True, slots=True)
class _Window:
    """The columns, the time (Unix seconds), and the bytes of the longest bar."""

    width: int
    now: float
    largest: int


def layers(report: Report, width: int, now: float) -> list[str]:
    """The report in `width` columns; `now` is in Unix seconds."""
    sizes = (layer.size for image in report.images for layer in image.layers)
    window = _Window(width, now, max(sizes, default=0))
    lines = [line for image in report.images for line in _head(image, now)]
    first, *others = report.images
    if others:
        lines += _part("in both", first, range(report.common), window)
        for image in report.images:
            lines += _part(f"only in {image.reference}", image, range(report.common, len(image.layers)), window)
    else:
        lines += [*_rows(first, range(len(first.layers)), window), *_shares(first), *_advice(report)]
    return [clean(line).rstrip() for line in lines]


def _head(image: Anatomy, now: float) -> Iterator[str]:
    note = f" ({image.note})" if image.note else ""
    made = f", made {ago(now - image.created)}" if image.created else ""
    yield f"{image.reference}{note}: {shown(image.size)} in {counted(len(image.layers), 'layer')}{made}"
    if image.base:
        inherited = sum(layer.size for layer in image.layers[: image.inherited])
        yield f"on {image.base}: {shown(inherited)} in {counted(image.inherited, 'layer')}"


def _part(title: str, image: Anatomy, which: range, window: _Window) -> Iterator[str]:
    yield f"{title}: {shown(sum(image.layers[index].size for index in which))} in {counted(len(which), 'layer')}"
    yield from _rows(image, which, window)


def _rows(image: Anatomy, which: range, window: _Window) -> Iterator[str]:
    """A line a layer, the lowest first: number, size, age, bar, instruction, and what the last build did."""
    bars = min(max(window.width // 5, NARROWEST), WIDEST)
    room = max(window.width - bars - COLUMNS, NARROWEST)
    for index in which:
        layer = image.layers[index]
        age = ago(window.now - layer.created).removesuffix(" ago") if layer.created else ""
        bar = (SHARED if layer.shared else OWN) * (layer.size and max(1, round(layer.size / window.largest * bars)))
        note = {None: "", True: "  (cached)", False: f"  ({layer.took:.1f} s)"}[layer.cached]
        text = cut(clean(layer.instruction).strip() or "(unknown)", max(room - len(note), NARROWEST))
        yield f"{index + 1:>2}  {shown(layer.size):>7}  {age:>7}  {bar:<{bars}}  {text}{note}"


def _shares(image: Anatomy) -> Iterator[str]:
    """The images that share layers, which are always the lowest layers."""
    counts = Counter(name for layer in image.layers for name in layer.shared)
    for count in sorted({*counts.values()}, reverse=True):
        # images without a name are shown by id, last
        names = sorted((name for name, shared in counts.items() if shared == count), key=lambda n: (":" not in n, n))
        more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
        which = f"layers 1-{count} are" if count > 1 else "layer 1 is"
        yield f"{SHARED} {which} also in {', '.join(names[:FEW])}{more}"


def _advice(report: Report) -> Iterator[str]:
    for advice in report.advice:
        yield f"advice: {advice.message}"
        yield f"  hint: {advice.hint}"
    if report.unread:
        yield f"the files in the layers were not read: {report.unread}"


def waterfall(event: Timings, width: int) -> list[str]:
    """The waterfall in `width` columns: a line for each span, critical spans marked, and the longest of those."""
    spans = [span for span in event.spans if span.end - span.start >= SHORTEST]
    names = [_name(span) for span in spans]
    widest = min(max(map(len, names), default=0), max(width // 3, NARROWEST_BARS))
    room = width - widest - len("*   12.34 s ")
    lines = [f"{event.seconds:.2f} s until ready; * is what the rest waited for"]
    for span, name in zip(spans, names, strict=True):
        mark = "*" if span.critical else " "
        bar = _bar(span, event.seconds, room) if room >= NARROWEST_BARS else ""
        lines.append(f"{mark} {fit(name, widest)} {span.end - span.start:6.2f} s {bar}".rstrip())
    return [*lines, *_path(spans)]


def _name(span: Span) -> str:
    indent = "  " if span.name.startswith(PARTS) else ""
    return f"{indent}{span.name}{f' (after {span.after})' if span.after else ''}"


def _bar(span: Span, seconds: float, room: int) -> str:
    scale = room / max(seconds, span.end)
    start = min(int(span.start * scale), room - 1)
    length = max(1, round((span.end - span.start) * scale))
    return " " * start + (CRITICAL_BAR if span.critical else BAR) * length


def _path(spans: list[Span]) -> list[str]:
    """The longest critical spans; of a step with parts, the parts."""
    critical = [span for span in spans if span.critical]
    steps = {span.name.partition(" ")[0] for span in critical if span.name.startswith(PARTS)}
    leaves = sorted((s for s in critical if s.name not in steps), key=lambda span: span.start - span.end)[:3]
    longest = ", ".join(f"{span.name} {span.end - span.start:.1f} s" for span in leaves)
    return [f"most of it: {longest}"] if longest else []
