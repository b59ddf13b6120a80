"""The page about a prediction: what it draws on, what it measures, how it looks."""
