"""The report of an import: one HTML file with everything inside it, so that it opens anywhere without a network."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import isfinite

import numpy as np
from jinja2 import Environment, StrictUndefined

from divo_runtime.contract import Contract
from divo_train.data.bags.assembly import EpisodeSample, ImportResult
from divo_train.data.bags.following import measure_following
from divo_train.data.bags.importing import BagReport
from divo_train.data.bags.plots import plot_actions, plot_following, plot_observations, plot_timeline
from divo_train.data.bags.settings import ImportSettings
from divo_train.data.bags.suspicions import find_suspicions, kept_share
from divo_train.data.bags.tally import KEPT

TEMPLATE = "report.html.j2"
ABSENT = "-"


@dataclass(frozen=True, slots=True)
class TopicRow:
    """One topic over all bags; of jitter, gap and latency the worst bag's."""

    topic: str
    type: str
    messages: str
    rate: str
    jitter: str
    gap: str
    lost: str
    latency: str


@dataclass(frozen=True, slots=True)
class TermRow:
    """One term of the observation: its age when it was used."""

    name: str
    median: str
    p99: str
    largest: str
    allowed: str


def render_report(result: ImportResult, settings: ImportSettings, command: str) -> str:
    """Return the report as HTML.

    Args:
        result: What became of the import.
        settings: How it was made.
        command: The command line that repeats it.
    """
    contract, bags, sample = settings.contract, result.bags, result.sample
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("divo_train.data.bags") / TEMPLATE).read_text(encoding="utf-8"))
    following = measure_following(contract, sample.observations, sample.actions)
    return template.render(
        contract=contract,
        headline=write_headline(result),
        suspicions=find_suspicions(contract, bags, sample),
        notes=[f"{bag.path.name}: {note}" for bag in bags for note in bag.notes],
        left_out=[(path.name, why) for path, why in result.left_out],
        topics=topic_rows(bags),
        terms=term_rows(contract, bags),
        drops=drop_rows(bags),
        bags=bags,
        unused=sorted({topic for bag in bags for topic in bag.unused_topics}),
        lengths=_length_text(sample),
        sampled=sum(map(len, sample.actions)),
        transitions=sum(bag.transitions for bag in bags),
        timeline=_inline(plot_timeline(bags)) if bags else "",
        observations=_inline(plot_observations(contract, sample)) if sample.actions else "",
        actions=_inline(plot_actions(contract, sample)) if sample.actions else "",
        following=_inline(plot_following(contract, following)) if following else "",
        settings=settings.described(),
        metadata=result.metadata,
        command=command,
    )


def write_headline(result: ImportResult) -> str:
    """Return the outcome in one sentence."""
    kept = sum(bag.transitions for bag in result.bags)
    episodes = sum(bag.episodes for bag in result.bags)
    seconds = sum(bag.span_ns[1] - bag.span_ns[0] for bag in result.bags) / 1e9
    length = f"{seconds / 3600:.1f} h" if seconds > 3600 else f"{seconds / 60:.1f} min"
    return (
        f"{kept:,} transitions in {episodes:,} episodes from {len(result.bags)} bags of {length}: "
        f"{kept_share(result.bags):.1%} of the control periods."
    )


def topic_rows(bags: Sequence[BagReport]) -> list[TopicRow]:
    """Return the table of topics."""
    rows = []
    for topic, kind in sorted({(timing.topic, timing.type) for bag in bags for timing in bag.timings}):
        timings = [each for bag in bags for each in bag.timings if (each.topic, each.type) == (topic, kind)]
        latencies = [each.latency_ms for each in timings if each.latency_ms]
        lost = [each.lost for each in timings if each.lost is not None]
        rates = [each.rate_hz for each in timings if isfinite(each.rate_hz)]
        jitters = [each.jitter_ms for each in timings if isfinite(each.jitter_ms)]
        rows.append(
            TopicRow(
                topic,
                kind,
                f"{sum(each.messages for each in timings):,}",
                f"{np.median(rates):.1f} Hz" if rates else ABSENT,
                f"±{max(jitters):.1f} ms" if jitters else ABSENT,
                f"{max(each.longest_gap_ms for each in timings):.0f} ms",
                f"{sum(lost):,}" if lost else ABSENT,
                f"{np.median([each[1] for each in latencies]):.1f} / {max(each[2] for each in latencies):.1f} ms"
                if latencies
                else ABSENT,
            )
        )
    return rows


def term_rows(contract: Contract, bags: Sequence[BagReport]) -> list[TermRow]:
    """Return the table of ages."""
    rows = []
    for index, term in enumerate(contract.observation):
        values = [bag.ages[index].values for bag in bags]
        ages_ms = np.concatenate(values) / 1e6 if values else np.empty(0)
        numbers = [f"{np.percentile(ages_ms, q):.1f} ms" for q in (50, 99, 100)] if len(ages_ms) else [ABSENT] * 3
        rows.append(TermRow(term.name, numbers[0], numbers[1], numbers[2], f"{term.max_age_ms:g} ms"))
    return rows


def drop_rows(bags: Sequence[BagReport]) -> list[tuple[str, int, str]]:
    """Return causes, most frequent first, with count and share of all periods."""
    counts: Counter[str] = Counter()
    for bag in bags:
        counts.update(bag.tally.counts)
    total = sum(counts.values())
    return [(cause, count, f"{count / total:.2%}") for cause, count in counts.most_common() if cause != KEPT]


def _length_text(sample: EpisodeSample) -> str:
    if not sample.actions:
        return ""
    lengths, returns = [len(each) for each in sample.actions], [each.sum() for each in sample.rewards]
    return (
        f"Episodes have {min(lengths)} to {max(lengths)} transitions (median {np.median(lengths):.0f}); returns lie "
        f"between {min(returns):.2f} and {max(returns):.2f} (mean {np.mean(returns):.2f})."
    )


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
