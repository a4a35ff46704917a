"""Pages and plots of reports."""
