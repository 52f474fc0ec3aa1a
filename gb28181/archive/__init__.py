"""Archive: the recordings that a platform keeps itself, and how they stay whole."""
