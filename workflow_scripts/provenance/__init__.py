"""Where things come from: which source files a step consists of, and their digest. No torch."""
