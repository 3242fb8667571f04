"""What a person calls: python -m workflow_scripts.tools.<name>."""
