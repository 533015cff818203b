"""Tables that need not fit in memory."""
