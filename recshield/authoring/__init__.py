"""What plugin authors run: a scaffold for a new package, and the conformance kit on an installed one."""
