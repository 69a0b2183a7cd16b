"""What may be spent on models: by whom, how much of it, and until when."""
