"""Base models: what can be named, fetched, converted and loaded. No adapters, no prompts."""
