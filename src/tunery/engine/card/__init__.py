"""What is known of a tuned model, on one page: a value, a document, a page in Markdown."""
