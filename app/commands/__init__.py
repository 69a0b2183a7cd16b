"""What each command does; `app/cli.py` holds their flags."""
