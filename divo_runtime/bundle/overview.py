"""A bundle in words and tables, for a person who has to decide whether to run it. Plain text, at most 120 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from divo_runtime.bundle.loading import Bundle
from divo_runtime.bundle.ports import CRITIC, LEAPP_NODE
from divo_runtime.contract import Contract
from divo_runtime.errors import BundleError
from divo_runtime.onnx_file.graph import read_graph
from divo_runtime.parity.judgement import TOLERANCES, Parity
from divo_runtime.parity.report import REPORT_FILE, ClosedLoop, read_report

Row = Sequence[str]
WIDTH = 110


def describe_bundle(bundle: Bundle) -> str:
    """Return task, inputs, commands, limits, networks, statistics, parity, provenance and files as text.

    Raises:
        BundleError: If the parity report or a network cannot be read.
    """
    contract, extras = bundle.contract, bundle.manifest.x_divo
    sections = [
        _section(f"{contract.name}: {contract.description}" if contract.description else contract.name, _task(bundle)),
        _section("Observation", [*_table(_observation_rows(contract)), *_wrapped(_joint_lines(contract))]),
        _section("Action and limits", _table(_action_rows(contract))),
        _section("Networks", [*_table(_network_rows(bundle)), *_wrapped(_sampling_lines(bundle))]),
        _section("Training data per element", _table(_statistics_rows(bundle))),
        _section("Parity with the trained networks", _parity(bundle)),
        _section("Provenance", _wrapped(_provenance_lines(bundle))),
        _section("Training configuration", _wrapped(_flat(extras.provenance.config))),
        _section("Files (sha256, verified)", _table([(name, digest) for name, digest in extras.files.items()])),
    ]
    return "\n\n".join(sections)


def parity_table(results: Iterable[Parity]) -> list[str]:
    """Return a line per comparison: worst and 99.9th percentile of the error, and how often the choice was the same."""
    rows: list[Row] = [
        ("network", "engine", "precision", "compared", "worst", "of range", "at", "p99.9", "same choice")
    ]
    for parity in results:
        worst = parity.names.index(parity.worst_case.element)
        rows.append(
            (
                parity.network,
                parity.backend,
                parity.precision,
                f"{parity.compared} of {parity.observations}",
                f"{parity.worst[worst]:.2g}",
                f"{parity.worst_fraction:.1e}",
                parity.worst_case.element,
                f"{max(parity.p999):.2g}",
                "" if parity.network == CRITIC else f"{parity.agreement:.2%}",
            )
        )
    return _table(rows)


def _task(bundle: Bundle) -> list[str]:
    contract = bundle.contract
    safety = contract.safety
    guards = {"value": safety.value_guard, "novelty": safety.novelty_guard}
    tails = {name: f" beyond {watch.tail:.2%} of the data" if watch.tail else "" for name, watch in guards.items()}
    reactions = (f"{name}: {watch.reaction} after {watch.cycles} cycles{tails[name]}" for name, watch in guards.items())
    return [
        f"folder       {bundle.folder}",
        f"environment  {contract.environment or 'none'}",
        f"rate         {contract.rate_hz:g} Hz, ages by {contract.clock} time",
        f"command      {contract.action.type} on '{contract.action.topic}' ({contract.action.kind})",
        f"safety       full authority after {safety.blend_s:g} s, fault after {safety.fault_after_ms:g} ms of bad data",
        f"guards       {'; '.join(reactions)}",
    ]


def _observation_rows(contract: Contract) -> Iterable[Row]:
    yield "term", "values", "unit", "topic", "type", "field", "max age"
    for term in contract.observation:
        field = f"{term.field} - {term.relative_to}" if term.relative_to else term.field
        kind = term.type.replace("/msg/", "/")
        yield term.name, str(term.width), term.unit, term.topic, kind, field, f"{term.max_age_ms:g} ms"


def _joint_lines(contract: Contract) -> Iterable[Row]:
    for term in contract.observation:
        if term.joints:
            yield f"{term.name} of", " ".join(term.joints)


def _action_rows(contract: Contract) -> Iterable[Row]:
    """Show a column for every kind of limit that some joint has."""
    unit, limits = contract.action.unit, contract.limits()
    length, speed = ("rad", "rad/s") if unit.startswith("rad") else ("m", "m/s")
    ranges = list(zip(contract.action.lower, contract.action.upper, strict=True))
    columns: dict[str, list[str]] = {
        "name": [limit.name for limit in limits],
        f"action [{unit}]": [_range(reach) for reach in ranges],
        f"position [{length}]": [_range(limit.position) for limit in limits],
        "hard": [_range(limit.hard_position) for limit in limits],
        f"velocity [{speed}]": [f"{limit.velocity:g}" for limit in limits],
        "hard ": [_number(limit.hard_velocity) for limit in limits],
        "acceleration": [f"{limit.acceleration:g}" for limit in limits],
        "jerk": [_number(limit.jerk) for limit in limits],
    }
    shown = {title: cells for title, cells in columns.items() if any(cell != "-" for cell in cells)}
    yield tuple(shown)
    yield from zip(*shown.values(), strict=True)


def _range(reach: tuple[float, float] | None) -> str:
    return "-" if reach is None else f"{reach[0]:g} .. {reach[1]:g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _network_rows(bundle: Bundle) -> Iterable[Row]:
    yield "network", "inputs", "outputs", "makes", "precision", "parameters", "size"
    extras = bundle.manifest.x_divo
    shared = bundle.manifest.models.get(LEAPP_NODE)
    for name, model in {**extras.networks, **({LEAPP_NODE: shared} if shared else {})}.items():
        file = bundle.folder / model.parameters.model_path
        graph = read_graph(file)
        settings, makes = extras.policies.get(name), "Q and V"
        if settings:
            makes = f"best of {settings.candidates}, {settings.steps} step{'s' if settings.steps > 1 else ''}"
        inputs, outputs = (" ".join(f"{s.name}{list(s.shape)}" for s in side) for side in (graph.inputs, graph.outputs))
        if name == LEAPP_NODE:
            inputs, makes = f"{len(graph.inputs) - 1} terms, noise", "actor for LEAPP"
        precision = settings.precision if settings else "float32"
        yield name, inputs, outputs, makes, precision, f"{graph.parameters:,}", f"{file.stat().st_size / 1e3:.0f} kB"


def _sampling_lines(bundle: Bundle) -> Iterable[Row]:
    for name, settings in bundle.manifest.x_divo.policies.items():
        if settings.sigmas:
            yield f"{name} sigma", " ".join(f"{sigma:.3g}" for sigma in settings.sigmas)


def _statistics_rows(bundle: Bundle) -> Iterable[Row]:
    contract, statistics = bundle.contract, bundle.manifest.x_divo.statistics
    units = [term.unit for term in contract.observation for _ in range(term.width)]
    yield "element", "unit", "mean", "std", "min", "max"
    for names, unit_of, moments in (
        (contract.element_names, units, statistics.observation),
        (
            tuple(f"action.{name}" for name in contract.action.names),
            [contract.action.unit] * contract.action_size,
            statistics.action,
        ),
    ):
        columns = (moments.mean, moments.std, moments.minimum, moments.maximum)
        for name, unit, *numbers in zip(names, unit_of, *columns, strict=True):
            yield name, unit, *(f"{number:.4g}" for number in numbers)


def _parity(bundle: Bundle) -> list[str]:
    try:
        report = read_report(bundle.folder / REPORT_FILE)
    except BundleError:  # its hash is right, so it is a report of an older form; the rest is still worth showing
        return [f"{REPORT_FILE} is of a form that this version does not read; export the bundle again"]
    if report is None:
        return ["no parity report in this bundle"]
    lines = parity_table(report.results)
    allowed = sorted({parity.precision for parity in report.results})
    lines += [f"allowed in {name}: {TOLERANCES[name].error:.0e} of the range" for name in allowed]
    if report.closed_loop:
        lines += ["", *_table(_closed_loop_rows(report.closed_loop))]
    notes = [("measured with", ", ".join(f"{name} {version}" for name, version in report.versions.items()))]
    notes += [(f"not compared: {name}", reason) for name, reason in report.left_out.items()]
    return [*lines, "", *_wrapped(note for note in notes if note[1])]


def _closed_loop_rows(loops: Iterable[ClosedLoop]) -> Iterable[Row]:
    yield "policy", "engine", "episodes", "return", "in torch", "difference", "standard error"
    for loop in loops:
        returns = (sum(side) / len(side) for side in (loop.returns_exported, loop.returns_torch))
        mean, trained = (f"{value:.3f}" for value in returns)
        difference = f"{loop.mean_difference:+.3f}", f"{loop.standard_error:.3f}"
        yield loop.network, loop.backend, str(len(loop.seeds)), mean, trained, *difference


def _provenance_lines(bundle: Bundle) -> Iterable[Row]:
    source = bundle.manifest.x_divo.provenance
    yield from ((name, _short(getattr(source, name))) for name in source.__struct_fields__ if name != "config")
    yield from _flat(bundle.manifest.system_information)


def _flat(tree: Any, prefix: str = "") -> Iterable[Row]:
    """One row per leaf of nested data, with dotted names."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _short(value)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(map(_short, value)) if isinstance(value, list | tuple) else str(value)


def _table(rows: Iterable[Row]) -> list[str]:
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _wrapped(rows: Iterable[Row]) -> list[str]:
    """Names in one column, values beside them, broken where they are long."""
    pairs = list(rows)
    indent = max((len(name) for name, _ in pairs), default=0) + 2
    lines = []
    for name, value in pairs:
        parts = textwrap.wrap(value, max(WIDTH - indent, 40), break_long_words=False, break_on_hyphens=False) or [""]
        lines += [f"{name.ljust(indent)}{parts[0]}".rstrip(), *(" " * indent + part for part in parts[1:])]
    return lines


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, "-" * len(title), *lines])
