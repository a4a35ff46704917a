"""Object detection: SSD on the shared body (paper section 4.5, table 13)."""
