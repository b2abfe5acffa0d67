"""Looking after a root: garbage collection, retention, checks and repairs, rebuilding, backup and restore."""
