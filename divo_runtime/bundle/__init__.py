"""A bundle on disk: its manifest, its networks, the checks before anything is run, and how it is shown to a person."""
