"""Computing a recording again, to the bit."""
