"""A real single-node Kubernetes for development and tests, without Docker. See README.md beside this file."""
