"""A simulated OpenAI-compatible engine: the HTTP face and the metrics of vLLM, with faults on demand and no model."""
