"""Keeping time: the loop with its deadlines, the operating system's favours, and policies that fit what is left."""
