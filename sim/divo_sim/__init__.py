"""Simulated robots, scripted behaviours and data collection for DIVO."""
