"""From rows and settings to a fitted model."""
