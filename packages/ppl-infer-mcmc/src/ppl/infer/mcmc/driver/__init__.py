"""The driver: runs the chains as a config asks for, together, in turn or in processes."""
