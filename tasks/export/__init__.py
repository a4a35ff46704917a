"""From a network to a file for other runtimes."""
