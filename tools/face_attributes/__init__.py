"""Networks of face attributes from the command line to the report."""
