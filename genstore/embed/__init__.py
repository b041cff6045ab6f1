"""Texts to vectors: the ONNX encoder (default), any sentence-transformers model, any OpenAI-compatible endpoint."""
