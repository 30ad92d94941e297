"""In and out of the official YOLOv7 and YOLOR formats: their YAML rows, and the weights of their checkpoints."""
