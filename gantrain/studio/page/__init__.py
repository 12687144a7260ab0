"""The page itself, the only part that imports gradio."""
