"""One entry point per rule: files in, files out."""
