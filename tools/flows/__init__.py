"""What the commands do, each flow written once for all applications."""
