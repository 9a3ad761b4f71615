"""Does a network compute what was trained? The sample, the check, the judgement and the report."""
