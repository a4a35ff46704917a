"""The steps of the commands, each flow written once for all applications."""
