"""A ROS domain that nobody on this machine uses: two controllers on one domain would answer for each other.

Source of the ports: DDS-RTPS 2.5, section 9.6.2.3: those of domain d begin at 7400 + 250 d.
"""

from __future__ import annotations

from pathlib import Path

FIRST_PORT, PORTS = 7400, 250
DOMAINS = 100
"""Domains 1 to 100 have ports below those that Linux gives away by itself."""

TABLES = (Path("/proc/net/udp"), Path("/proc/net/udp6"))


def free_domain(first: int) -> int:
    """Return a domain of 1 to 100 without an open port, looking from the `first`-th on; that one if all are taken."""
    taken = {domain for path in TABLES if path.exists() for domain in domains_in(path.read_text(encoding="ascii"))}
    candidates = (1 + (first + offset) % DOMAINS for offset in range(DOMAINS))
    return next((domain for domain in candidates if domain not in taken), 1 + first % DOMAINS)


def domains_in(table: str) -> set[int]:
    """Return the domains that have an open port in a table of UDP sockets, as Linux shows it."""
    ports = (int(line.split()[1].rpartition(":")[2], 16) for line in table.splitlines()[1:] if line.strip())
    return {(port - FIRST_PORT) // PORTS for port in ports if port >= FIRST_PORT}
