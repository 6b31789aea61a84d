"""What a checkout's own files choose about who can read an upload: the command line, the file and its text, the key.

`test_targets` compares the uploaders' modules with it, `test_checkout_sent` the uploaders themselves. `{proxy}`
is the checkout's proxy, and `ca.pem` a certificate that it brings along.
"""

from __future__ import annotations

URL, TEST = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/"
_PROJECT = '[project]\nname = "demo"\nversion = "1.0"\n'
_OPTIONS = f"{_PROJECT}[tool.pdm.options]\npublish = "
_INDEX = f'[[index]]\nname = "i"\nurl = "http://__token__@upload.pypi.org/"\npublish-url = "{URL}"'
_ADDED = "tool.pdm.options.publish in pyproject.toml"

CHOICES = {
    # A proxy of uv's settings wins over HTTPS_PROXY and NO_PROXY.
    'uv publish | uv.toml | https-proxy = "{proxy}"': "https-proxy in uv.toml",
    f'uv publish | pyproject.toml | {_PROJECT}[tool.uv]\nhttps-proxy = "{{proxy}}"': "https-proxy in pyproject.toml",
    'uv publish | uv.toml | http-proxy = "{proxy}"': "",
    'uv publish --publish-url http://a.example/ | uv.toml | http-proxy = "{proxy}"': "http-proxy in uv.toml",
    **{
        f'uv publish | uv.toml | allow-insecure-host = ["a.example", "{host}"]': "allow-insecure-host in uv.toml"
        for host in ("upload.pypi.org", "*", "https://upload.pypi.org/", "upload.pypi.org/x")
    },
    **{
        f'uv publish | uv.toml | allow-insecure-host = ["{host}"]': ""
        for host in ("pypi.org", "http://upload.pypi.org", "*.pypi.org", "upload.pypi.org:443")
    },
    'uv publish | uv.toml | system-certs = true\nkeyring-provider = "subprocess"': "",
    f'uv publish | uv.toml | publish-url = "{TEST}"': "",
    # It asks for the host of this URL, too, and would send the token there in plain text.
    'uv publish | uv.toml | check-url = "http://__token__@upload.pypi.org/simple/"': "check-url in uv.toml",
    'uv publish | uv.toml | check-url = "https://__token__@upload.pypi.org/simple/"': "",
    'uv publish | uv.toml | check-url = "http://__token__@pypi.org/simple/"': "",
    f"uv publish --index i | uv.toml | {_INDEX}": "url in uv.toml",
    'uv publish --no-config | uv.toml | https-proxy = "{proxy}"': "",
    "poetry publish -r t | poetry.toml | certificates.t.cert = false": "certificates.t.cert in poetry.toml",
    "poetry publish -r t | poetry.toml | certificates.t.verify = false": "certificates.t.verify in poetry.toml",
    'poetry publish -r t | poetry.toml | certificates.t.cert = "ca.pem"': "certificates.t.cert in poetry.toml",
    "poetry publish -r t --cert mine | poetry.toml | certificates.t.cert = false": "",
    "poetry publish -r t | poetry.toml | certificates.t = {cert = false, verify = true}": "",
    'poetry publish -r t | poetry.toml | certificates.t.client-cert = "c.pem"\ncertificates.u.cert = false': "",
    # poetry ignores what is set for PyPI by this name.
    f'poetry publish -r pypi | poetry.toml | certificates.pypi.cert = false\nrepositories.pypi.url = "{URL}"': "",
    "pdm publish | pdm.toml | repository.pypi.verify_ssl = false": "verify_ssl in pdm.toml",
    'pdm publish | pdm.toml | repository.pypi.ca_certs = "ca.pem"': "ca_certs in pdm.toml",
    'pdm publish --ca-certs mine | pdm.toml | repository.pypi.ca_certs = "ca.pem"': "",
    f'pdm publish -r {URL} | pdm.toml | repository.o = {{url = "{URL}", verify_ssl = false}}': "verify_ssl in pdm.toml",
    'pdm publish | pdm.toml | repository.o = {url = "https://o.example/", verify_ssl = false}': "",
    "pdm publish | pdm.toml | repository.pypi.verify_ssl = true\npypi.verify_ssl = false": "",
    f'pdm publish | pyproject.toml | {_OPTIONS}["--no-verify-ssl"]': _ADDED,
    f'pdm publish | pyproject.toml | {_OPTIONS}["--ca-certs", "ca.pem"]': _ADDED,
}
# What is the user's own choice, whatever a checkout has.
OWN_CHOICES = (
    'uv publish --config-file mine.toml | mine.toml | https-proxy = "http://127.0.0.1:9"',
    'pdm -c mine.toml publish | mine.toml | repository.pypi = {verify_ssl = false, ca_certs = "x"}',
    f'pdm publish --no-verify-ssl | pyproject.toml | {_OPTIONS}["--no-verify-ssl"]',
    'uv publish --check-url http://__token__@upload.pypi.org/ | uv.toml | keyring-provider = "subprocess"',
    f"hatch publish | hatch.toml | [publish.index]\nca-cert = 'x'\nrepo = '{TEST}'",
    f"hatch publish | pyproject.toml | {_PROJECT}[tool.hatch.publish.index]\nca-cert = 'x'\nrepo = '{TEST}'",
)
