"""What policy is loaded, as plain data for `~/policy_metadata`."""

from __future__ import annotations

import divo_runtime
from divo_controller.parameters import Parameters
from divo_controller.session import Session


def describe_session(session: Session, parameters: Parameters) -> dict[str, object]:
    """Return everything that is needed to read a recording of this node: names, units, limits, hashes."""
    contract = session.contract
    return {
        "contract": contract.name,
        "description": contract.description,
        "bundle": str(session.bundle.folder.resolve()),
        "sha256": dict(session.bundle.manifest.x_divo.files),
        "policy": session.choice,
        "policies": list(session.policies),
        "policy_median_ms": dict(session.median_ms),
        "policy_p99_ms": dict(session.p99_ms),
        "shadow": parameters.shadow,
        "backend": parameters.backend,
        "threads": parameters.threads,
        "seed": parameters.seed,
        "noise_shape": list(session.policy.noise_shape),
        "rate_hz": contract.rate_hz,
        "clock": contract.clock,
        "observation": list(contract.element_names),
        "inputs": {
            term.name: {"topic": term.topic, "type": term.type, "unit": term.unit, "max_age_ms": term.max_age_ms}
            for term in contract.observation
        },
        "action": {
            "kind": contract.action.kind,
            "names": list(contract.action.names),
            "unit": contract.action.unit,
            "topic": contract.action.topic,
            "type": contract.action.type,
        },
        "limits": [
            {
                "name": limit.name,
                "position": limit.position,
                "velocity": limit.velocity,
                "acceleration": limit.acceleration,
            }
            for limit in contract.limits()
        ],
        "divo": divo_runtime.__version__,
    }
