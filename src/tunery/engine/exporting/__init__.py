"""Tuned models for use elsewhere: merged weights for transformers, GGUF for llama.cpp and Ollama, and the proofs."""
