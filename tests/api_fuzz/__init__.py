"""The whole interface, as `/openapi.json` describes it, called with whatever that allows and with what it does not."""
