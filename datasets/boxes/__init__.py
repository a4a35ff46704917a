"""Images with boxes: COCO, Pascal VOC, YOLO."""
