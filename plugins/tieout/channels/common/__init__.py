"""What parsers of several formats share: amounts, excerpts, texts, packed files, masking."""
