"""Many tenants, each with words that only they may see, and calls of every route by everybody with everybody's ids."""
