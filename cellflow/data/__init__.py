"""Files to `Sample`, `Prediction` to files; the only room that knows file formats."""
