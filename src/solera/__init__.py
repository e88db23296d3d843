"""Solera: a Kubernetes operator for the whole life of self-hosted language models."""

__version__ = "0.1.0"
