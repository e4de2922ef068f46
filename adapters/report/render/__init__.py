"""From values to markup: numbers with their marks, texts of others made harmless, charts, badges."""
