"""Bugs to plant in how requests are read and secrets kept: what two parsers read in two ways, what is held in memory, what is
shown."""

from tests.chaos.mutant import Mutant

_MIDDLEWARE = "app/api/middleware.py"
_HTTP = "tests/security/test_attacks_on_http.py"
_BODIES = "tests/security/test_attacks_on_bodies.py"
_SECRETS = "tests/security/test_secrets.py"

HTTP = (
    Mutant(
        "of headers that stand twice the last one counts",
        _MIDDLEWARE,
        "names[name] > 1 for name in _ONCE",
        "False for name in _ONCE",
        f"{_HTTP} -k two_ways",
    ),
    Mutant(
        "a length and chunks are taken for one request",
        _MIDDLEWARE,
        'names[b"content-length"] > 0 and names[b"transfer-encoding"] > 0',
        "False",
        f"{_HTTP} -k two_ways",
    ),
    Mutant(
        "a head may be as large as what comes at once",
        _MIDDLEWARE,
        "size > MAX_HEAD",
        "size > 2**30",
        f"{_HTTP} -k two_ways",
    ),
    Mutant(
        "behind what can be read in two ways the connection goes on",
        _MIDDLEWARE,
        'extra += [(b"connection", b"close")] if last else []',
        "extra += []",
        f"{_HTTP} -k two_ways",
    ),
    Mutant(
        "what is no HTTP is answered as uvicorn does",
        "app/commands/protocol.py",
        "            self.transport.write(self._refusal())\n",
        '            super().send_400_response("Invalid")\n',
        f"{_HTTP} -k two_ways",
    ),
    Mutant(
        "any page may write",
        _MIDDLEWARE,
        'return origin.decode("latin-1").lower() in {ours, self._public_origin} - {""}',
        "return True",
        f"{_BODIES} -k origin",
    ),
    Mutant(
        "a form names the charset that it breaks",
        "app/api/uploads.py",
        'options.get(b"charset", b"utf-8").lower() not in _CHARSETS',
        "False",
        f"{_BODIES} -k charset",
    ),
    Mutant(
        "all lines of a batch are read before they are counted",
        "app/api/batch.py",
        "islice(lines, most + 1)",
        "lines",
        f"{_BODIES} -k lines_of_a_batch",
    ),
    Mutant(
        "a secret is read from a file that others may read",
        "app/secret_files.py",
        "    return bool(mode & _OTHERS)\n",
        "    return False\n",
        f"{_SECRETS} -k TestFiles",
    ),
    Mutant(
        "the log holds secrets that a failure names",
        "app/telemetry.py",
        "pattern.sub(MASK, str(renderer(logger, name, event)))",
        "str(renderer(logger, name, event))",
        f"{_SECRETS} -k log",
    ),
    Mutant(
        "a password in an address is shown",
        "app/commands/config.py",
        'return _PASSWORD.sub(rf"\\1{MASK}@", str(value))',
        "return str(value)",
        f"{_SECRETS} -k password",
    ),
)
