"""Classifiers from the command line to the report; fine-grained runs, teachers."""
