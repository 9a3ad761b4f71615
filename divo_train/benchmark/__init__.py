"""Tasks x datasets x methods x seeds, from one file to tables with intervals."""
