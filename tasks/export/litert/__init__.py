"""From an ONNX file of fixed shapes to a .tflite file (LiteRT), without TensorFlow."""
