"""Object detection: SSD and Faster R-CNN on any body (paper section 4.5, table 13)."""
