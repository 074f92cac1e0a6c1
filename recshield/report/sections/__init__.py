"""The sections of a report, each a pure function of a run that was read."""
