"""Made-up secrets of every kind, put together when they are asked for: this file itself holds none that a scanner would find."""

from __future__ import annotations

import base64
import json
import random
import string

_LETTERS = string.ascii_letters + string.digits


def drawn(length: int, alphabet: str = _LETTERS, seed: int = 7) -> str:
    return "".join(random.Random(f"{length}{alphabet}{seed}").choices(alphabet, k=length))


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"


def aws_key() -> str:
    return "AK" + "IA" + drawn(16, UPPER)


def seeds() -> dict[str, tuple[str, str]]:
    """By name: the path and the lines that hold the secret."""
    key = drawn(64) + "\n" + drawn(64)
    return {
        "aws id": ("app/aws.py", f'client = connect("{aws_key()}")'),
        "aws id in yaml": ("deploy.yml", f"  key_id: {aws_key()}"),
        "aws secret": ("a.py", f'aws_secret_access_key = "{drawn(40)}"'),
        "aws secret in credentials": ("credentials", f"aws_secret_access_key = {drawn(40)}"),
        "github": ("a.js", "const t = 'gh" + f"p_{drawn(36)}';"),
        "github in a test": ("tests/test_a.py", 'T = "gh' + f'o_{drawn(36)}"'),
        "github fine": ("README.md", "use github_" + f"pat_{drawn(22)}_{drawn(59)} here"),
        "gitlab": ("a.rb", "token 'gl" + f"pat-{drawn(20)}'"),
        "slack bot": ("a.py", 'S = "xo' + f'xb-{drawn(12, string.digits)}-{drawn(12, string.digits)}-{drawn(24)}"'),
        "slack hook": ("a.py", "url = 'https://hooks.sla" + f"ck.com/services/T{drawn(8, UPPER)}/B{drawn(8, UPPER)}/{drawn(24)}'"),
        "private key": ("id_rsa", "-----BEGIN RSA PRIV" + f"ATE KEY-----\n{key}\n-----END RSA PRIVATE KEY-----"),
        "openssh key": ("deploy/key", "-----BEGIN OPENSSH PRIV" + f"ATE KEY-----\n{key}"),
        "private key in a string": ("a.py", 'K = "-----BEGIN PRIV' + f'ATE KEY-----\\n{drawn(64)}\\n"'),
        "private key in lines": ("a.py", 'K = (\n    "-----BEGIN EC PRIV' + f'ATE KEY-----\\n"\n    "{drawn(64)}\\n"\n)'),
        "basic auth": ("a.py", f'URL = "https://deploy:{drawn(12)}@git.internal.net/x"'),
        "database": (".env", f"DATABASE_URL=postgres://app:{drawn(16)}@db.internal:5432/app"),
        "jwt": ("a.ts", f'const j = "{_part({"alg": "HS256", "typ": "JWT"})}.{_part({"sub": "1234567890"})}.{drawn(43)}"'),
        "stripe": ("pay.py", 'stripe.api_key = "sk_' + f'live_{drawn(24)}"'),
        "openai": ("a.py", 'OpenAI(api_key="sk-' + f"{drawn(20)}T3Blbk" + f'FJ{drawn(20)}")'),
        "openai project": ("a.py", 'c = "sk-' + f'proj-{drawn(48)}"'),
        "anthropic": ("a.py", 'c = "sk-' + f'ant-api03-{drawn(80)}"'),
        "google": ("a.html", "key=AI" + f"za{drawn(35)}"),
        "sendgrid": ("a.py", 'x = "SG' + f'.{drawn(22)}.{drawn(43)}"'),
        "twilio": ("a.py", 'sid = "A' + f'C{drawn(32, HEX)}"'),
        "mailchimp": ("a.py", f'm = "{drawn(32, HEX)}-us12"'),
        "npm": (".npmrc", "//packages.example.org/:_auth" + f"Token=npm_{drawn(36)}"),
        "pypi": ("a.cfg", "password = pypi-" + f"AgEIcHlwaS5vcmc{drawn(80)}"),
        "azure": ("a.py", 'c = "Account' + f'Key={drawn(86)}=="'),
        "telegram": ("a.py", f'bot = "{drawn(10, "123456789")}:{drawn(35)}"'),
        "discord": ("a.py", f'bot = "M{drawn(23)}.{drawn(6)}.{drawn(27)}"'),
        "e2b": ("a.py", 'E = "e2' + f'b_{drawn(40, HEX)}"'),
        "hex to a name": ("a.py", f'API_TOKEN = "{drawn(40, HEX)}"'),
        "hex to a name in a test": ("tests/test_a.py", f'api_secret = "{drawn(32, HEX)}"'),
        "base64 to a name": ("a.go", f'	clientSecret := "{drawn(44)}"'),
        "json": ("config.json", f'  "secretKey": "{drawn(32)}",'),
        "typed": ("a.py", f'SECRET_KEY: str = "{drawn(50)}"'),
        "yaml without quotes": ("values.yaml", f"  apiToken: {drawn(32)}"),
        "env": (".env.production", f"export SESSION_SECRET={drawn(32)}"),
        "properties": ("a.properties", f"db.password={drawn(16)}"),
        "random to any name": ("a.py", f'SALT = "{drawn(48)}"'),
        "a person's password": ("settings.py", 'DB_PASSWORD = "Winter' + '2031!"'),
        "dockerfile": ("Dockerfile", f"ENV API_KEY={drawn(32)}"),
        "argument": ("a.py", f'connect(user="x", password="{drawn(14)}")'),
    }


def patch_of(path: str, text: str) -> bytes:
    """A patch in git's format that makes a file."""
    lines = text.split("\n")
    head = f"diff --git a/{path} b/{path}\nnew file mode 100644\nindex {'0' * 40}..{'1' * 40}\n--- /dev/null\n+++ b/{path}\n"
    return (head + f"@@ -0,0 +1,{len(lines)} @@\n" + "".join(f"+{line}\n" for line in lines)).encode()
