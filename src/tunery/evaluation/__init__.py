"""Evaluation of tuned models: candidates answer the same rows, and their scores give a verdict. Without torch."""
