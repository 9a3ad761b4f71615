"""What may really be sent: limits, the gate that keeps them, and guards against the unknown."""
