"""Core ML's programs, computed by NumPy: to check them where there is no macOS."""
