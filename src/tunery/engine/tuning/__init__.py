"""The tuning loop and what comes of it: schedule, checkpoints, curve, advice. No datasets, no libraries of models."""
