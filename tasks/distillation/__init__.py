"""Learning from a teacher: one set of losses and one store of its targets, for every task."""
