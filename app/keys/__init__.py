"""Who asks, and what that lets them read and do."""
