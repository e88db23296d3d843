"""llama.cpp with table models: a real engine whose answers, right and wrong, are known before it runs."""
