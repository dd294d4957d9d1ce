"""The built-in checks: one flat file a question, loaded through the same door as anybody's."""
