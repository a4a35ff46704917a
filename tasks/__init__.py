"""The applications: one folder each, with model, task, evaluator and report inside."""
