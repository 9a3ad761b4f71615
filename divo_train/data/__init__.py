"""Datasets: one in-memory type, and what reads into it."""
