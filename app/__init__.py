"""The service around the two roads: settings, wiring, HTTP, command line, evaluation and the page."""
