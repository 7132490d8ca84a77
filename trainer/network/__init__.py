"""Networks and the recipe that chooses them: layers, embeddings, objectives. Knows no file and no loop."""
