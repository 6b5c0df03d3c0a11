"""How a file goes out."""
