"""Offline DIVO training: value learning, positive-advantage diffusion, advantage-filtered policy improvement."""
