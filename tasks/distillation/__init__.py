"""Distillation: one set of losses and one store of teacher targets, for every task."""
