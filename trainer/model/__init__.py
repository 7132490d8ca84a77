"""The finished model as one file: write, load, predict, export. Called by trainers and by the side worker."""
