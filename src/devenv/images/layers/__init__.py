"""What an image is made of, and what could be left out."""
