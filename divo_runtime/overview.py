"""A bundle in words and tables, for a person who has to decide whether to run it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from divo_runtime.bundle import Bundle
from divo_runtime.contract import Contract
from divo_runtime.graph import read_graph

Row = Sequence[str]


def describe_bundle(bundle: Bundle) -> str:
    """Return task, inputs, commands, limits, networks, statistics, parity, files and provenance as text."""
    manifest = bundle.manifest
    contract, extras = manifest.contract, manifest.x_divo
    sections = [
        _section(f"{contract.name}: {contract.description}" if contract.description else contract.name, _task(bundle)),
        _section("Observation", _table(_observation_rows(contract))),
        _section("Action and limits", _table(_action_rows(contract))),
        _section("Networks", _table(_network_rows(bundle))),
        _section("Training data per element", _table(_statistics_rows(bundle))),
        _section("Parity", _parity(bundle)),
        _section("Provenance", _flat(extras.provenance.config, {**_provenance(bundle), **manifest.system_information})),
        _section("Files (sha256, verified)", _table([(name, digest) for name, digest in extras.files.items()])),
    ]
    return "\n\n".join(sections)


def _task(bundle: Bundle) -> list[str]:
    contract = bundle.contract
    safety = contract.safety
    return [
        f"folder       {bundle.folder}",
        f"environment  {contract.environment or 'none'}",
        f"rate         {contract.rate_hz:g} Hz, ages by {contract.clock} time",
        f"command      {contract.action.type} on '{contract.action.topic}' ({contract.action.kind})",
        f"safety       full authority after {safety.blend_s:g} s, fault after {safety.fault_after_ms:g} ms of bad data",
    ]


def _observation_rows(contract: Contract) -> Iterable[Row]:
    yield "term", "values", "unit", "topic", "field", "max age"
    for term in contract.observation:
        field = f"{term.field} - {term.relative_to}" if term.relative_to else term.field
        yield term.name, str(term.width), term.unit, f"{term.topic} ({term.type})", field, f"{term.max_age_ms:g} ms"


def _action_rows(contract: Contract) -> Iterable[Row]:
    yield "name", f"action [{contract.action.unit}]", "position", "velocity", "acceleration"
    ranges = zip(contract.action.lower, contract.action.upper, strict=True)
    for limit, (low, high) in zip(contract.limits(), ranges, strict=True):
        position = f"{limit.position[0]:g} .. {limit.position[1]:g}" if limit.position else "free"
        yield limit.name, f"{low:g} .. {high:g}", position, f"{limit.velocity:g}", f"{limit.acceleration:g}"


def _network_rows(bundle: Bundle) -> Iterable[Row]:
    yield "network", "inputs", "outputs", "parameters", "size", "opset", "sampling"
    for role, model in bundle.manifest.models.items():
        file = bundle.folder / model.parameters.model_path
        graph = read_graph(file)
        sampling = ""
        if role != "critic":
            settings = bundle.manifest.x_divo.policies[role]
            sampling = f"best of {settings.candidates}, {settings.steps} step{'s' if settings.steps > 1 else ''}"
            if settings.sigmas:
                sampling += f", sigma {' '.join(f'{sigma:.3g}' for sigma in settings.sigmas)}"
        sides = (" ".join(f"{spec.name}{list(spec.shape)}" for spec in side) for side in (graph.inputs, graph.outputs))
        size = f"{file.stat().st_size / 1e3:.0f} kB"
        yield role, *sides, f"{graph.parameters:,}", size, str(graph.opset), sampling


def _statistics_rows(bundle: Bundle) -> Iterable[Row]:
    contract, statistics = bundle.contract, bundle.manifest.x_divo.statistics
    yield "element", "mean", "std", "min", "max"
    for names, moments in (
        (contract.element_names, statistics.observation),
        (tuple(f"action.{name}" for name in contract.action.names), statistics.action),
    ):
        columns = (moments.mean, moments.std, moments.minimum, moments.maximum)
        for name, *numbers in zip(names, *columns, strict=True):
            yield name, *(f"{number:.4g}" for number in numbers)


def _parity(bundle: Bundle) -> list[str]:
    path = bundle.folder / "parity.json"
    if not path.is_file():
        return ["no parity report in this bundle"]
    return _flat(json.loads(path.read_text(encoding="utf-8")), {})


def _provenance(bundle: Bundle) -> dict[str, Any]:
    source = bundle.manifest.x_divo.provenance
    return {name: getattr(source, name) for name in source.__struct_fields__ if name != "config"}


def _flat(tree: Any, first: dict[str, Any]) -> list[str]:
    """One line per leaf of nested data, with dotted names."""
    leaves = [(name, _short(value)) for name, value in first.items()]
    pending = [("", tree)]
    while pending:
        name, value = pending.pop(0)
        if isinstance(value, dict):
            pending = [(f"{name}.{key}".lstrip("."), inner) for key, inner in value.items()] + pending
        else:
            leaves.append((name, _short(value)))
    return _table(leaves)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(map(_short, value)) if isinstance(value, list | tuple) else str(value)


def _table(rows: Iterable[Row]) -> list[str]:
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, "-" * len(title), *lines])
