"""The page is ours to answer, also where an application takes every path that is no file of its own."""
import pytest

from harness.companion import pmcapture
from harness.document import parse

WORDPRESS = r"""
<IfModule mod_rewrite.c>
RewriteEngine On
RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
RewriteBase /
RewriteRule ^index\.html$ - [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule . /index.html [L]
</IfModule>
"""
DRUPAL = "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^(.*)$ index.html?q=$1 [L]\n"
PROXIED = "RewriteEngine On\nRewriteRule ^(.*)$ http://127.0.0.1:9/$1 [P]\n"
OVERRIDE = '<Directory "{root}/htdocs">\n    AllowOverride All\n    Options FollowSymLinks\n</Directory>\n'
PAGE = "<h1>pmcapture</h1>"
INSTEAD = "it works"    # what the application answers with


def site(new_httpd, htaccess="", config="", **options):
    httpd = new_httpd(modules=("auth_basic", "authn_core", "authn_file", "authz_user"), **options)
    httpd.config = OVERRIDE.format(root=httpd.root) + config
    if htaccess:
        httpd.document(".htaccess", htaccess.encode())
    return httpd.start()


def answers(httpd, **options):
    """The page, and what its query asks for."""
    assert PAGE in httpd.get("/pm-status", **options).text
    found = parse(httpd.get("/pm-status?format=json&view=summary", **options).body)
    assert found["schema"] == "pmcapture.v1"
    return True


@pytest.mark.parametrize("htaccess", [WORDPRESS, DRUPAL, PROXIED], ids=["wordpress", "drupal", "proxied"])
def test_an_applications_htaccess_does_not_swallow_the_page(new_httpd, htaccess):
    httpd = site(new_httpd, htaccess)
    assert answers(httpd)
    if htaccess != PROXIED:
        assert INSTEAD in httpd.get("/pm-statusx").text, "the application has its own"
    assert httpd.request("/pm-status", method="POST").status == 405


@pytest.mark.parametrize("where", [
    "RewriteEngine On\nRewriteRule ^ /index.html [L]\n",
    'FallbackResource "/index.html"\n',
    'ProxyPass "/" "http://127.0.0.1:9/"\n',
    "RewriteEngine On\nRewriteRule ^/(.*)$ http://127.0.0.1:9/$1 [P]\n",
    'AliasMatch "^/" "{root}/htdocs/index.html"\n',
], ids=["rewrite", "fallback", "proxy", "rewrite-proxy", "alias"])
def test_what_the_server_does_with_every_path_does_not_swallow_the_page(new_httpd, where):
    httpd = new_httpd()
    httpd.config = where.replace("{root}", str(httpd.root))
    httpd.start()
    assert answers(httpd)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_real_file_of_that_name_does_not_swallow_the_page(new_httpd, what):
    httpd = site(new_httpd, WORDPRESS)
    if what == "file":
        httpd.document("pm-status", b"a file\n")
        assert answers(httpd)
    else:
        (httpd.root / "htdocs/pm-status").mkdir()
        assert PAGE in httpd.get("/pm-status/").text


def test_who_may_see_the_page_is_asked_before_it_is_shown(new_httpd):
    """The rewriting that it gets around comes after access control."""
    httpd = site(new_httpd, WORDPRESS,
                 '<Location "/pm-status">\n    Require ip 127.0.0.9\n</Location>\n')
    assert answers(httpd, source="127.0.0.9")
    assert httpd.get("/pm-status").status == 403
    assert "schema" not in httpd.get("/pm-status?format=json").text


def test_a_password_is_asked_for_before_the_page_is_shown(new_httpd):
    httpd = new_httpd()
    users = httpd.root / "conf/users"
    users.write_text("bob:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=\n")      # 123456
    users.chmod(0o644)
    httpd.modules = ("auth_basic", "authn_core", "authn_file", "authz_user")
    httpd.config = (OVERRIDE.format(root=httpd.root) + f'<Location "/pm-status">\n    AuthType Basic\n    AuthName x\n'
                    f'    AuthUserFile "{users}"\n    Require valid-user\n</Location>\n')
    httpd.document(".htaccess", WORDPRESS.encode())
    httpd.start()
    assert httpd.get("/pm-status").status == 401
    assert answers(httpd, headers={"Authorization": "Basic Ym9iOjEyMzQ1Ng=="})


@pytest.mark.parametrize("rule, status", [("RewriteRule ^pm-status - [F]", 403), ("RewriteRule ^pm-status - [G]", 410),
                                          ("RewriteRule ^pm-status /elsewhere [R=302]", 302)])
def test_a_rule_that_forbids_or_redirects_holds(new_httpd, rule, status):
    httpd = site(new_httpd, f"RewriteEngine On\n{rule}\n" + WORDPRESS)
    assert httpd.get("/pm-status").status == status


def test_where_another_page_answers_the_command_says_so_and_what_helps(new_httpd):
    httpd = site(new_httpd, config="RewriteEngine On\nRewriteRule ^/pm-status /index.html [PT]\n")
    httpd.document("index.html", b"<!DOCTYPE html><title>My\n shop &amp; blog</title><p>it works\n")
    url = f"http://127.0.0.1:{httpd.port}/pm-status"
    done = pmcapture("status", "-u", url)
    assert done.returncode == 3 and done.stdout == b""
    said, = done.stderr.decode().splitlines()
    assert "another page answered" in said and "text/html" in said and '"My shop & blog"' in said
    assert "RewriteRule ^/?pm-status - [L]" in said
    assert "damaged" not in said
