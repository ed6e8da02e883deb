"""Scripts that run isolated inside the sandbox, JSON on standard input and output."""
