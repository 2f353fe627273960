"""From prompts to text: cached keys and values, sampling, streaming. No files, no users."""
