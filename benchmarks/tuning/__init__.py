"""The tuning studies behind the frozen settings: one plan file each, one CSV each."""
