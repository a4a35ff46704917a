"""Photos with boxes: COCO, Pascal VOC, YOLO."""
