"""D4RL without the d4rl package: its tasks, its scores, and environments that come near its own."""
