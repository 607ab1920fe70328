"""What `onnxq demo` runs on: drawn images, and a network that was trained on such."""
