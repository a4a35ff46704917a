"""Object detection: SSD and Faster R-CNN on any body (paper section 4.6, table 13)."""
