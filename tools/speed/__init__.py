"""Times and sizes on this machine: benchmarks, and the choice for a budget."""
