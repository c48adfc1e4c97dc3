"""Models that are graphs (ONNX): reading them safely, finding their feature, feeding them.

Importing this room imports neither onnx nor onnxruntime.
"""
