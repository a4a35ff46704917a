"""Reports of runs and evaluations: their order, pages, plots, tables and images."""
