/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_config.c: snapshots of the configuration: what is masked, what differs, what is kept.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "../../mod_pmcapture/config/config_private.h"
#include "pm_time.h"
#include "splitmix.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static apr_pool_t *pool;
static char dir[64];
static const uint8_t key[16] = "0123456789abcde";

static int begin(void **state)
{
    (void)state;
    apr_pool_create(&pool, NULL);
    strcpy(dir, "/tmp/pm-config-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int end(void **state)
{
    const char *command = apr_pstrcat(pool, "rm -rf ", dir, NULL);
    int rv = system(command);

    (void)state;
    apr_pool_destroy(pool);
    return rv;
}

static const char *in_dir(const char *name)
{
    return apr_pstrcat(pool, dir, "/", name, NULL);
}

static const char *write_file(const char *name, const char *content, size_t len)
{
    const char *path = in_dir(name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(content, 1, len, f), len);
    fclose(f);
    return path;
}

/* ---- masking ---- */

static const char *masked(const char *directive, const char *args, pm_config_secret *secrets,
                          size_t count)
{
    pm_config_buffer out = {0}, work = {0};
    const char *result;

    pm_config_mask(&out, &work, directive, pm_config_hidden_from(directive), args, secrets, count);
    assert_false(out.failed);
    result = apr_pstrdup(pool, out.bytes);
    free(out.bytes);
    free(work.bytes);
    return result;
}

static void secrets_are_masked_and_nothing_else_is(void **state)
{
    static const struct {
        const char *directive, *args, *shown;
    } cases[] = {
        /* by the directive's name */
        {"AuthLDAPBindPassword", "hunter2", "***"},
        {"AuthLDAPBindPassword", "\"hunter 2\"", "***"},
        {"SessionCryptoPassphrase", "one two three", "***"},
        {"OIDCClientSecret", "abc", "***"},
        {"AuthBasicFake", "demo hunter2", "demo ***"},
        {"AuthBasicFake", "%{REMOTE_USER} \"pass word\"", "%{REMOTE_USER} ***"},
        {"MDExternalAccountBinding", "kid hmac", "***"},
        {"ServerTokens", "Prod", "Prod"},
        {"SSLCertificateKeyFile", "/etc/ssl/private/x.key", "/etc/ssl/private/x.key"},
        {"SessionCryptoPassphraseFile", "/etc/x", "/etc/x"},
        {"SSLPassPhraseDialog", "exec:/bin/x", "exec:/bin/x"},
        {"ProxyPass", "/a http://b/", "/a http://b/"},
        {"KeepAlive", "On", "On"},
        /* by the name before it */
        {"SetEnv", "DB_PASS hunter2", "DB_PASS ***"},
        {"SetEnv", "API_KEY \"a b\"", "API_KEY ***"},
        {"SetEnv", "LANG C", "LANG C"},
        {"RequestHeader", "set Authorization \"Basic dTpw\"", "set Authorization ***"},
        {"RequestHeader", "set X-Api-Key: abc env=x", "set X-Api-Key: ***"},
        {"Header", "set X-Y \"a\"", "set X-Y \"a\""},
        {"Header", "edit Set-Cookie ^(.*)$ $1;Secure", "edit Set-Cookie ^(.*)$ $1;Secure"},
        {"php_admin_value", "mysqli.default_pw abc", "mysqli.default_pw ***"},
        {"php_value", "session.save_path /x", "session.save_path /x"},
        {"SetEnvIf", "X-Token ^abc$ ok", "X-Token ***"},
        {"RewriteCond", "%{HTTP:X-Token} !=abc", "%{HTTP:X-Token} ***"},
        {"DirectoryIndex", "key.html index.html", "key.html index.html"},
        {"Alias", "/token /srv/x", "/token /srv/x"},
        {"AddType", "application/pgp-keys .key .pem", "application/pgp-keys .key .pem"},
        /* name=value */
        {"BalancerMember", "ajp://h:8009 secret=abc route=1", "ajp://h:8009 secret=*** route=1"},
        {"ProxyPass", "/x ajp://h/ secret=\"a b\" retry=5", "/x ajp://h/ secret=*** ***"},
        {"DBDParams", "host=db,user=u,pass=hunter2,dbname=d", "host=db,user=u,pass=***,dbname=d"},
        {"DBDParams", "\"host=db user=u password=a,b;c dbname=d\"",
         "\"host=db user=u password=*** dbname=d\""},
        {"RewriteRule", "^ - [E=API_KEY:abc,L]", "^ - [E=API_KEY:***"},
        {"ProxyPass", "/x http://h/?token=abc&x=1", "/x http://h/?token=***&x=1"},
        {"Require", "expr \"%{HTTP:X-Secret} == 'a b=c'\"", "expr \"%{HTTP:X-Secret} ***\""},
        {"Require", "expr \"req('X-Api-Key') == 'abc'\"", "expr \"req('X-Api-Key') ***\""},
        {"LogFormat", "\"%h %{X-Token}i %s\" x", "\"%h %{X-Token}i %s\" x"},
        {"ProxyPass", "/x http://h/ keepalive=On", "/x http://h/ keepalive=On"},
        /* URLs */
        {"ProxyPass", "/x http://u:p@h:80/y", "/x http://u:***@h:80/y"},
        {"ProxyPass", "/x http://u:p@ss@h/y", "/x http://u:***@h/y"},
        {"ProxyPass", "/x http://u:p/w@h/y", "/x http://u:***@h/y"},
        {"ProxyPass", "/x http://u@h/y", "/x http://u@h/y"},
        {"ProxyPass", "/x http://h:80/y@z", "/x http://h:80/y@z"},
        {"CustomLog", "\"|/bin/ship https://u:p@h/\" combined",
         "\"|/bin/ship https://u:***@h/\" combined"},
        /* credentials */
        {"RequestHeader", "set X-Up \"Bearer abc.def\"", "set X-Up \"Bearer ***\""},
        {"RequestHeader", "set X-Up \"Basic  abc\"", "set X-Up \"Basic  ***\""},
        {"AuthType", "Basic", "Basic"},
        /* white space */
        {"Header", "  set \t X-Y   \"a  b\"  ", "set X-Y \"a  b\""},
        {"Options", "", ""},
        {"Header", "set X-Y \"no end", "set X-Y \"no end"},
        {"Header", "set X-Y \"a \\\" b\" c", "set X-Y \"a \\\" b\" c"},
    };

    (void)state;
    for (size_t n = 0; n < COUNT(cases); n++) {
        assert_string_equal(masked(cases[n].directive, cases[n].args, NULL, 0), cases[n].shown);
    }
}

static void a_known_value_is_masked_wherever_it_stands(void **state)
{
    pm_config_secret secrets[] = {{"hunter22xyz", 11, NULL}, {"hunter22", 8, NULL}};

    (void)state;
    assert_string_equal(masked("Header", "set X hunter22", secrets, 2), "set X ***");
    assert_string_equal(masked("Header", "set X ahunter22b-hunter22", secrets, 2),
                        "set X a***b-***");
    assert_string_equal(masked("Header", "set X hunter22xyz hunter22", secrets, 2),
                        "set X *** ***");
    assert_string_equal(masked("Header", "set X \"is hunter22xyzzy\"", secrets, 2),
                        "set X \"is ***zy\"");
}

static void a_value_of_fewer_than_four_bytes_is_let_through(void **state)
{
    pm_gather *g = pm_gather_begin(PM_CONFIG_FULL, key, pool);
    pm_snapshot *s;

    (void)state;
    pm_gather_secret(g, "80");
    pm_gather_secret(g, "8080");
    pm_gather_directive(g, 0, "Listen", "80", "/x", 1);
    pm_gather_directive(g, 0, "Listen", "8080", "/x", 1);
    s = pm_gather_done(g);
    assert_string_equal(pm_snapshot_text(s, pm_snapshot_entries(s)[0].args), "80");
    assert_string_equal(pm_snapshot_text(s, pm_snapshot_entries(s)[1].args), "***");
    free(s);
}

static void names_of_secrets_are_known(void **state)
{
    static const char *const secret[] = {"PASS",   "DB_PASSWORD", "SECRET_KEY",
                                         "token",  "AWS_KEY",     "CREDS",
                                         "db_pwd", "DB_PW",       "Proxy-Authorization",
                                         "Cookie"},
                             *const harmless[] = {"PWD",  "OLDPWD", "PATH", "APACHE_LOG_DIR",
                                                  "HOME", "LANG",   "",     "Set-Cookie"};

    (void)state;
    for (size_t n = 0; n < COUNT(secret); n++) {
        assert_true(pm_config_secret_name(secret[n], strlen(secret[n])));
    }
    for (size_t n = 0; n < COUNT(harmless); n++) {
        assert_false(pm_config_secret_name(harmless[n], strlen(harmless[n])));
    }
}

static void masking_survives_any_bytes(void **state)
{
    static const char alphabet[] = "pas:=/@\"'\\ {}%,;&key-tokenBasic \xff\x01";
    pm_config_secret secrets[] = {{"aaaa", 4, NULL}};
    uint64_t seed = 7;
    char args[64];

    (void)state;
    for (int n = 0; n < 20000; n++) {
        size_t len = splitmix_next(&seed) % (sizeof(args) - 1);

        for (size_t i = 0; i < len; i++) {
            args[i] = alphabet[splitmix_next(&seed) % (sizeof(alphabet) - 1)];
        }
        args[len] = '\0';
        masked("Header", args, secrets, 1);
    }
}

/* ---- places ---- */

static void assert_place(const char *name, const char *file, uint32_t line, const char *macro,
                         const char *used, uint32_t used_line)
{
    pm_config_place p;

    pm_config_parse_place(name, &p);
    assert_string_equal(apr_pstrmemdup(pool, p.file, p.file_len), file);
    assert_int_equal(p.line, line);
    assert_string_equal(p.macro ? apr_pstrmemdup(pool, p.macro, p.macro_len) : "", macro);
    assert_string_equal(p.used_file ? apr_pstrmemdup(pool, p.used_file, p.used_file_len) : "",
                        used);
    assert_int_equal(p.used_line, used_line);
}

static void the_place_of_a_macro_is_where_it_is_defined_and_where_it_is_used(void **state)
{
    (void)state;
    assert_place("/etc/x.conf", "/etc/x.conf", 0, "", "", 0);
    assert_place("macro 'vh' (defined on line 20 of \"/a b.conf\") used on line 29 of \"/c.conf\"",
                 "/a b.conf", 20, "vh", "/c.conf", 29);
    assert_place(
        "macro 'in' (defined on line 17 of \"/a\") used on line 4 of \"macro 'vh' (defined "
        "on line 20 of \"/b\") used on line 29 of \"/c\"\"",
        "/a", 17, "in", "/c", 29);
}

static void a_sentence_that_is_no_place_is_taken_for_a_file(void **state)
{
    static const char *const odd[] = {
        "macro 'x",
        "macro 'x' (",
        "macro 'x' (defined on line 2 of \"/a",
        "macro 'x' (defined on line 2 of \"/a\") used",
        "macro 'x' (defined on line 2 of \"/a\") used on line 3",
        "",
    };

    (void)state;
    for (size_t n = 0; n < COUNT(odd); n++) {
        assert_place(odd[n], odd[n], 0, "", "", 0);
    }
}

/* ---- differences ---- */

static const char main_conf[] = "/r/httpd.conf";

static pm_gather *gather(void)
{
    return pm_gather_begin(PM_CONFIG_FULL, key, pool);
}

static apr_status_t free_snapshot(void *s)
{
    free(s);
    return APR_SUCCESS;
}

/** It lives as long as the test's pool. */
static pm_snapshot *done(pm_gather *g)
{
    pm_snapshot *s = pm_gather_done(g);

    assert_non_null(s);
    assert_true(pm_snapshot_valid(s, pm_snapshot_size(s)));
    apr_pool_cleanup_register(pool, s, free_snapshot, apr_pool_cleanup_null);
    return s;
}

static uint32_t vhost(pm_gather *g, const char *name, const char *file, uint32_t line)
{
    uint32_t c = pm_gather_container(g, 0, "<VirtualHost", "*:80>", name, file, line);

    pm_gather_directive(g, c, "ServerName", name, file, line + 1);
    return c;
}

static const char *sentence(const pm_snapshot *a, const pm_snapshot *b)
{
    return pm_config_sentence(pm_config_compare(a, b, pool), "/r", pool);
}

/** Two virtual hosts, a header in each. */
static pm_snapshot *site(const char *first, const char *second)
{
    pm_gather *g = gather();
    uint32_t c;

    pm_gather_directive(g, 0, "Listen", "80", main_conf, 1);
    c = vhost(g, "a.example", "/r/a.conf", 1);
    if (first != NULL) {
        pm_gather_directive(g, c, "Header", first, "/r/a.conf", 3);
    }
    c = vhost(g, "b.example", "/r/b.conf", 1);
    if (second != NULL) {
        pm_gather_directive(g, c, "Header", second, "/r/b.conf", 3);
    }
    return done(g);
}

static void a_changed_directive_is_told_with_its_place_and_both_values(void **state)
{
    (void)state;
    assert_string_equal(sentence(site("set X-Y \"a\"", NULL), site("set X-Y \"b\"", NULL)),
                        "Header set X-Y changed in <VirtualHost *:80> (a.example) (a.conf:3): "
                        "\"a\" -> \"b\"");
}

static void a_quoted_value_is_told_whole(void **state)
{
    (void)state;
    assert_string_equal(sentence(site("set X-Y \"a b\"", NULL), site("set X-Y \"a c\"", NULL)),
                        "Header set X-Y changed in <VirtualHost *:80> (a.example) (a.conf:3): "
                        "\"a b\" -> \"a c\"");
}

static void a_line_of_a_macro_is_told_with_both_places(void **state)
{
    static const char where[] =
        "macro 'vh' (defined on line 20 of \"/r/m.conf\") used on line 29 of \"/r/c.conf\"";
    pm_gather *g = gather();
    pm_snapshot *with;
    const pm_config_diff *d;

    (void)state;
    pm_gather_directive(g, 0, "Header", "set X 1", where, 3);
    with = done(g);
    d = pm_config_compare(done(gather()), with, pool);
    assert_string_equal(pm_config_sentence(d, "/r", pool),
                        "Header set X 1 added (m.conf:23, macro vh used at c.conf:29)");
    assert_non_null(strstr(pm_config_data(d, 1, 65536, pool),
                           "\"file\":\"/r/m.conf\",\"line\":23,\"macro\":{\"name\":\"vh\",\"file\":"
                           "\"/r/c.conf\",\"line\":29}"));
}

static void an_added_and_a_removed_directive_are_told(void **state)
{
    pm_snapshot *with = site(NULL, "set X-Y b"), *without = site(NULL, NULL);

    (void)state;
    assert_string_equal(sentence(without, with),
                        "Header set X-Y b added in <VirtualHost *:80> (b.example) (b.conf:3)");
    assert_string_equal(
        sentence(with, without),
        "Header set X-Y b removed from <VirtualHost *:80> (b.example) (it was at b.conf:3)");
}

static void the_same_directive_in_another_virtual_host_is_a_change(void **state)
{
    const pm_config_diff *d = pm_config_compare(site("set X 1", NULL), site(NULL, "set X 1"), pool);

    (void)state;
    assert_int_equal(pm_config_changes(d), 2);
}

static void moving_renaming_spacing_and_case_are_no_change(void **state)
{
    pm_gather *g = gather(), *h = gather();
    pm_snapshot *a, *b;
    uint32_t c;

    (void)state;
    pm_gather_directive(g, 0, "Listen", "80", main_conf, 1);
    pm_gather_directive(g, 0, "Header", "set X \"a  b\"", main_conf, 2);
    vhost(g, "a.example", "/r/a.conf", 1);
    a = done(g);
    c = vhost(h, "a.example", "/r/renamed.conf", 7);
    (void)c;
    pm_gather_directive(h, 0, "header", "set   X\t\"a  b\"  ", main_conf, 99);
    pm_gather_directive(h, 0, "Listen", "80", "/r/ports.conf", 1);
    b = done(h);
    assert_int_equal(pm_config_changes(pm_config_compare(a, b, pool)), 0);
    assert_string_equal(sentence(a, b), "no directive changed");
}

static void what_differs_within_quotes_is_a_change(void **state)
{
    (void)state;
    assert_int_equal(pm_config_changes(pm_config_compare(site("set X \"a  b\"", NULL),
                                                         site("set X \"a b\"", NULL), pool)),
                     1);
}

static void the_same_line_twice_is_not_the_same_line_once(void **state)
{
    pm_gather *g = gather(), *h = gather();
    const pm_config_diff *d;

    (void)state;
    for (int n = 0; n < 3; n++) {
        pm_gather_directive(n < 2 ? g : h, 0, "RewriteRule", "a b", main_conf, 1);
    }
    d = pm_config_compare(done(g), done(h), pool);
    assert_int_equal(d->removed, 1);
    assert_int_equal(d->added, 0);
}

static void lines_of_one_kind_that_changed_places_are_told_but_are_no_change(void **state)
{
    pm_gather *g = gather(), *h = gather();
    pm_snapshot *a, *b;

    (void)state;
    pm_gather_directive(g, 0, "RewriteRule", "a b", main_conf, 1);
    pm_gather_directive(g, 0, "RewriteRule", "c d", main_conf, 2);
    pm_gather_directive(h, 0, "RewriteRule", "c d", main_conf, 1);
    pm_gather_directive(h, 0, "RewriteRule", "a b", main_conf, 2);
    a = done(g);
    b = done(h);
    assert_int_equal(pm_config_changes(pm_config_compare(a, b, pool)), 0);
    assert_string_equal(sentence(a, b),
                        "no directive changed but the order of RewriteRule (httpd.conf:2)");
}

static pm_snapshot *named(const char *name, const char *file, uint32_t line, int header)
{
    pm_gather *g = gather();
    uint32_t c = vhost(g, name, file, line), inner;

    inner = pm_gather_container(g, c, "<Location", "/x>", NULL, file, line + 2);
    for (int n = 0; n < 20; n++) {
        pm_gather_directive(g, inner, "Header",
                            apr_psprintf(pool, "set X%d %d", n, header + n / 19), file,
                            line + 3 + (uint32_t)n);
    }
    vhost(g, "other.example", "/r/other.conf", 1);
    return done(g);
}

static void a_virtual_host_with_another_name_is_still_the_same_one(void **state)
{
    (void)state;
    /* by its place */
    assert_string_equal(
        sentence(named("a.example", "/r/a.conf", 1, 1), named("b.example", "/r/a.conf", 1, 1)),
        "ServerName changed in <VirtualHost *:80> (b.example) (a.conf:2): "
        "\"a.example\" -> \"b.example\"");
    /* because there is no other */
    assert_string_equal(
        sentence(named("a.example", "/r/a.conf", 1, 1), named("b.example", "/r/z.conf", 9, 1)),
        "ServerName changed in <VirtualHost *:80> (b.example) (z.conf:10): "
        "\"a.example\" -> \"b.example\"");
}

static void what_came_or_went_as_a_whole_is_one_change(void **state)
{
    pm_gather *g = gather();
    pm_snapshot *one, *both = named("a.example", "/r/a.conf", 1, 1);
    const pm_config_diff *d;

    (void)state;
    vhost(g, "other.example", "/r/other.conf", 1);
    one = done(g);
    assert_string_equal(sentence(one, both), "<VirtualHost *:80> (a.example) added (a.conf:1)");
    assert_string_equal(sentence(both, one),
                        "<VirtualHost *:80> (a.example) removed (it was at a.conf:1)");
    d = pm_config_compare(one, both, pool);
    assert_int_equal(d->added, 23);
    assert_int_equal(d->removed, 0);
}

static void of_several_changes_the_one_that_others_follow_from_is_told(void **state)
{
    pm_gather *g = gather(), *h = gather();

    (void)state;
    pm_gather_define(g, "BACKEND", "one");
    pm_gather_directive(g, 0, "ProxyPass", "/ http://one/", main_conf, 1);
    pm_gather_directive(g, 0, "ProxyPassReverse", "/ http://one/", main_conf, 2);
    pm_gather_directive(h, 0, "ProxyPass", "/ http://two/", main_conf, 1);
    pm_gather_directive(h, 0, "ProxyPassReverse", "/ http://two/", main_conf, 2);
    pm_gather_define(h, "BACKEND", "two");
    pm_gather_module(h, "headers_module", "/m/mod_headers.so");
    assert_string_equal(sentence(done(g), done(h)),
                        "4 directives changed, first: Define BACKEND changed: \"one\" -> \"two\"");
}

static void modules_that_come_and_go_are_told(void **state)
{
    pm_gather *g = gather(), *h = gather();
    pm_snapshot *without, *with;
    const char *data;

    (void)state;
    pm_gather_directive(g, 0, "Listen", "80", main_conf, 1);
    pm_gather_directive(h, 0, "Listen", "80", main_conf, 1);
    pm_gather_module(h, "headers_module", "/m/mod_headers.so");
    without = done(g);
    with = done(h);
    assert_string_equal(sentence(without, with), "Module headers_module loaded");
    assert_string_equal(sentence(with, without), "Module headers_module no longer loaded");
    h = gather();
    pm_gather_directive(h, 0, "Listen", "80", main_conf, 1);
    pm_gather_module(h, "env_module", "/m/mod_env.so");
    assert_int_equal(pm_config_changes(pm_config_compare(with, done(h), pool)), 2);
    data = pm_config_data(pm_config_compare(with, without, pool), 3, 65536, pool);
    assert_non_null(strstr(data, "\"modules\":{\"loaded\":[],\"unloaded\":[\"headers_module\"]}"));
}

static void another_secret_is_a_change_that_shows_neither(void **state)
{
    pm_gather *g = gather(), *h = gather();
    const pm_config_diff *d;

    (void)state;
    pm_gather_directive(g, 0, "AuthLDAPBindPassword", "hunter22", main_conf, 5);
    pm_gather_directive(h, 0, "AuthLDAPBindPassword", "hunter23", main_conf, 5);
    d = pm_config_compare(done(g), done(h), pool);
    assert_int_equal(pm_config_changes(d), 1);
    assert_string_equal(pm_config_sentence(d, "/r", pool),
                        "AuthLDAPBindPassword changed (httpd.conf:5): its masked value is another "
                        "one");
    assert_null(strstr(pm_config_data(d, 1, 65536, pool), "hunter"));
}

static void names_and_off_keep_what_they_say(void **state)
{
    static const enum pm_config_detail details[] = {PM_CONFIG_NAMES, PM_CONFIG_OFF};
    static const char *const sentences[] = {"Header changed (httpd.conf:2)",
                                            "The configuration changed"};

    (void)state;
    for (int n = 0; n < 2; n++) {
        pm_gather *g = pm_gather_begin(details[n], key, pool),
                  *h = pm_gather_begin(details[n], key, pool);
        pm_snapshot *a, *b;
        const pm_config_diff *d;
        const char *data;

        pm_gather_directive(g, 0, "Header", "set Quiet one", main_conf, 2);
        pm_gather_directive(h, 0, "Header", "set Quiet two", main_conf, 2);
        a = done(g);
        b = done(h);
        d = pm_config_compare(a, b, pool);
        data = pm_config_data(d, 2, 65536, pool);
        assert_int_equal(pm_config_changes(d), 1);
        assert_string_equal(pm_config_sentence(d, "/r", pool), sentences[n]);
        assert_true(pm_json_valid(data, strlen(data)));
        assert_null(strstr(data, "Quiet"));
        assert_null(memmem(b, pm_snapshot_size(b), "Quiet", 5));
        assert_int_equal(strstr(data, "\"Header\",\"args\":null") != NULL, n == 0);
    }
}

/* ---- much, long and odd ---- */

static void a_hundred_thousand_changes_fit_and_are_counted(void **state)
{
    static const size_t most[] = {65536, 10800, 400, 10};
    pm_gather *g = gather(), *h = gather();
    const pm_config_diff *d;

    (void)state;
    for (uint32_t n = 0; n < 100000; n++) {
        pm_gather_directive(g, 0, "Header", apr_psprintf(pool, "set X%u a", n), main_conf, n);
        pm_gather_directive(h, 0, "Header", apr_psprintf(pool, "set X%u b", n), main_conf, n);
    }
    d = pm_config_compare(done(g), done(h), pool);
    assert_int_equal(pm_config_changes(d), 100000);
    for (size_t n = 0; n < COUNT(most); n++) {
        const char *data = pm_config_data(d, 2, most[n], pool);

        assert_true(strlen(data) <= most[n] || most[n] == 10);
        assert_true(pm_json_valid(data, strlen(data)));
        assert_non_null(strstr(data, "\"changes\":100000,\"added\":100000,\"removed\":100000"));
        assert_non_null(strstr(data, "\"truncated\":true"));
    }
    assert_non_null(strstr(pm_config_data(d, 2, 65536, pool), "set X200 b"));
}

static void a_line_of_a_megabyte_differs_at_its_end_too(void **state)
{
    size_t len = 1 << 20;
    char *args = apr_palloc(pool, len + 1);
    pm_snapshot *a, *b;
    const pm_config_diff *d;
    const char *data;

    (void)state;
    memset(args, 'x', len);
    memcpy(args, "set X ", 6);
    args[len] = '\0';
    a = site(args, NULL);
    args[len - 1] = 'y';
    b = site(args, NULL);
    d = pm_config_compare(a, b, pool);
    assert_int_equal(pm_config_changes(d), 1);
    data = pm_config_data(d, 1, 65536, pool);
    assert_true(strlen(data) < 8192);
    assert_true(pm_json_valid(data, strlen(data)));
    assert_true(strlen(pm_config_sentence(d, "/r", pool)) < 480);
}

static void hostile_lines_of_a_megabyte_take_no_square_of_their_length(void **state)
{
    static const char *const unit[] = {"a://", "pass=,", "key:", "Basic ", "\"", "hunter22", "%{"};
    pm_config_secret secrets[] = {{"hunter22", 8, NULL}, {"neverthere", 10, NULL}};
    size_t len = 1 << 20;
    char *args = apr_palloc(pool, len + 8);

    (void)state;
    for (size_t n = 0; n < COUNT(unit); n++) {
        size_t used = 0, m = strlen(unit[n]);

        while (used < len) {
            memcpy(args + used, unit[n], m);
            used += m;
        }
        args[used] = '\0';
        masked("Header", args, secrets, 2);
    }
}

static void binary_bytes_are_told_as_text(void **state)
{
    const pm_config_diff *d =
        pm_config_compare(site(NULL, NULL), site("set X \"\xff\xfe\x01\x1b[31m\"", NULL), pool);
    const char *data = pm_config_data(d, 1, 65536, pool);

    (void)state;
    assert_true(pm_json_valid(data, strlen(data)));
    assert_non_null(strstr(data, "%FF%FE%01%1B[31m"));
    assert_null(strchr(pm_config_sentence(d, "/r", pool), '\x1b'));
}

/* ---- files ---- */

static const char *expand_none(void *ctx, const char *text)
{
    (void)ctx;
    return text;
}

static const char *path_below(void *ctx, const char *name)
{
    (void)ctx;
    return name[0] == '/' ? name : in_dir(name);
}

static int is_on(void *ctx, const char *name)
{
    (void)ctx;
    return strncmp(name, "on", 2) == 0;
}

static const pm_config_world world = {NULL, expand_none, path_below, is_on, is_on};

static pm_gather *scanned(const char *content)
{
    pm_gather *g = gather();

    pm_gather_file(g, write_file("main.conf", content, strlen(content)), &world);
    return g;
}

static const pm_config_file *file_named(const pm_gather *g, const char *name)
{
    size_t count;
    const pm_config_file *f = pm_gather_files(g, &count), *found = NULL;

    for (size_t n = 0; n < count; n++) {
        if (strcmp(f[n].path, in_dir(name)) == 0) {
            assert_null(found); /* each once */
            found = &f[n];
        }
    }
    return found;
}

static void included_files_are_found_through_patterns_folders_and_active_sections(void **state)
{
    pm_gather *g;
    size_t patterns;

    (void)state;
    mkdir(in_dir("sites"), 0755);
    mkdir(in_dir("tree"), 0755);
    mkdir(in_dir("tree/deep"), 0755);
    write_file("sites/one.conf", "Listen 1\n", 9);
    write_file("sites/two.conf", "\r\nInclude by-two.conf\r\n", 23);
    write_file("sites/not", "x", 1);
    write_file("tree/deep/leaf", "x", 1);
    write_file("by-two.conf", "Include sites/*.conf\n", 21);
    write_file("off.conf", "x", 1);
    write_file("on.conf", "x", 1);
    write_file("joined.conf", "x", 1);
    g = scanned("# Include off.conf\n"
                "<IfDefine off>\n<If x>\nInclude off.conf\n</If>\n</IfDefine>\n"
                "<IfModule !on>\n<Location />\nInclude off.conf\n</Location>\n</IfModule>\n"
                "<IfDefine !off>\n  include \"on.conf\"\n</IfDefine>\n"
                "IncludeOptional sites/*.conf\nInclude tree\nIncludeOptional absent.conf\n"
                "Incl\\\nude joined.\\\r\nconf\n");
    assert_non_null(file_named(g, "main.conf"));
    assert_non_null(file_named(g, "sites/one.conf"));
    assert_non_null(file_named(g, "sites/two.conf"));
    assert_non_null(file_named(g, "by-two.conf"));
    assert_non_null(file_named(g, "tree/deep/leaf"));
    assert_non_null(file_named(g, "on.conf"));
    assert_non_null(file_named(g, "joined.conf"));
    assert_null(file_named(g, "off.conf"));
    assert_null(file_named(g, "sites/not"));
    assert_null(file_named(g, "absent.conf"));
    pm_gather_patterns(g, &patterns);
    assert_int_equal(patterns, 5); /* by the pattern, in two files; tree, tree/deep; absent.conf */
    free(pm_gather_done(g));
}

static void defines_and_modules_have_the_place_of_their_line(void **state)
{
    pm_gather *g = scanned("\nLoadModule x_module \\\n  x.so\n\nDefine SITE a\nDefine MY_SECRET "
                           "\"ab cd\"\n");
    pm_snapshot *s;
    const pm_snapshot_entry *e;

    (void)state;
    pm_gather_module(g, "x_module", "/x.so");
    pm_gather_define(g, "SITE", "a");
    pm_gather_define(g, "MY_SECRET", "ab cd");
    pm_gather_directive(g, 0, "Header", "set X \"ab cd\"", main_conf, 1);
    s = done(g);
    e = pm_snapshot_entries(s);
    assert_int_equal(e[0].line, 3);
    assert_int_equal(e[1].line, 5);
    assert_string_equal(pm_snapshot_text(s, e[1].file), in_dir("main.conf"));
    assert_string_equal(pm_snapshot_text(s, e[2].args), "MY_SECRET ***");
    assert_string_equal(pm_snapshot_text(s, e[3].args), "set X \"***\"");
    assert_null(memmem(s, pm_snapshot_size(s), "ab cd", 5));
}

static void names_are_defined_by_active_lines_that_no_undefine_follows(void **state)
{
    pm_gather *g = scanned("Define ONE 1\nDefine TWO\n<IfDefine off>\nDefine OFF\n</IfDefine>\n"
                           "Define ONE\nDefine GONE x\nUnDefine GONE\nundefine NEVER\n"
                           "Define AGAIN\nUnDefine AGAIN\nDefine AGAIN 2\n");
    const pm_config_define *d;
    size_t count;

    (void)state;
    d = pm_gather_defines(g, &count);
    assert_int_equal(count, 3);
    assert_string_equal(d[0].name, "ONE");
    assert_true(d[0].valued);
    assert_string_equal(d[1].name, "TWO");
    assert_false(d[1].valued);
    assert_string_equal(d[2].name, "AGAIN");
    assert_true(d[2].valued);
    free(pm_gather_done(g));
}

static void odd_files_are_told_and_stop_nothing(void **state)
{
    pm_gather *g;
    pm_config_file f;
    char path[128];

    (void)state;
    mkdir(in_dir("odd"), 0755);
    assert_int_equal(symlink(".", in_dir("odd/again")), 0);
    assert_int_equal(symlink("loop", in_dir("odd/loop")), 0);
    assert_int_equal(mkfifo(in_dir("odd/fifo"), 0600), 0);
    write_file("odd/binary", "\0Include off.conf\n\xff", 19);
    g = scanned("Include odd\nInclude main.conf\nInclude \"unfinished\nInclude\nLoadModule\n\\");
    assert_int_equal(file_named(g, "odd/fifo")->state, PM_FILE_SPECIAL);
    assert_int_equal(file_named(g, "odd/binary")->state, PM_FILE_READ);
    assert_int_equal(file_named(g, "odd/loop")->state, PM_FILE_UNREADABLE);
    pm_gather_named_file(g, in_dir("vanished.conf"));
    pm_gather_named_file(g, "-c/-C directives");
    assert_int_equal(file_named(g, "vanished.conf")->state, PM_FILE_MISSING);
    free(pm_gather_done(g));
    snprintf(path, sizeof(path), "%s/odd/binary", dir);
    pm_config_look(path, &f);
    assert_int_equal(f.size, 19);
    assert_true(f.hash != 0);
}

static void a_define_is_told_first_wherever_it_stands(void **state)
{
    static const char *const values[] = {"one", "two"};
    pm_snapshot *s[2];

    (void)state;
    for (int n = 0; n < 2; n++) {
        pm_gather *g = scanned(n ? "\n\nDefine Z two\n" : "\n\nDefine Z one\n");

        pm_gather_directive(g, 0, "ProxyPass", apr_psprintf(pool, "/ http://%s/", values[n]),
                            in_dir("main.conf"), 1);
        pm_gather_define(g, "Z", values[n]);
        s[n] = done(g);
    }
    assert_string_equal(pm_config_sentence(pm_config_compare(s[0], s[1], pool), dir, pool),
                        "2 directives changed, first: Define Z changed (main.conf:3): \"one\" -> "
                        "\"two\"");
}

static void an_edit_that_changes_no_directive_names_its_file(void **state)
{
    pm_snapshot *a = done(scanned("Listen 80\n")), *b = done(scanned("# why\nListen 80\n")),
                *c = done(scanned("# why\nListen 80\n"));

    (void)state;
    assert_string_equal(
        pm_config_sentence(pm_config_compare(a, b, pool), dir, pool),
        "no directive changed that is in force, though main.conf was changed (comments, "
        "places, white space, masked values)");
    assert_string_equal(pm_config_sentence(pm_config_compare(b, c, pool), dir, pool),
                        "no directive changed");
}

static void a_file_that_was_not_touched_is_not_read_again(void **state)
{
    pm_snapshot *last = done(scanned("Listen 80\n"));
    pm_snapshot_file *f = (pm_snapshot_file *)(uintptr_t)pm_snapshot_files(last);
    pm_gather *g;

    (void)state;
    f->hash = 12345; /* tells where the answer comes from */
    for (int old = 0; old < 2; old++) {
        last->taken_us = pm_time_now() + (old ? 3 * PM_SECOND : 0);
        g = gather();
        pm_gather_known(g, last);
        pm_gather_file(g, in_dir("main.conf"), &world);
        assert_int_equal(file_named(g, "main.conf")->hash == 12345, old);
        free(pm_gather_done(g));
    }
}

static void an_edit_whose_time_was_set_back_is_read(void **state)
{
    pm_snapshot *last = done(scanned("Listen 80\n"));
    struct timespec times[2];
    struct stat st;
    pm_gather *g;

    (void)state;
    last->taken_us = pm_time_now() + 3 * PM_SECOND;
    assert_int_equal(stat(in_dir("main.conf"), &st), 0);
    times[0] = times[1] = st.st_mtim;
    usleep(20000); /* the kernel's clock of files goes in ticks */
    write_file("main.conf", "Listen 81\n", 10);
    assert_int_equal(utimensat(AT_FDCWD, in_dir("main.conf"), times, 0), 0);
    g = gather();
    pm_gather_known(g, last);
    pm_gather_file(g, in_dir("main.conf"), &world);
    assert_true(file_named(g, "main.conf")->hash != pm_snapshot_files(last)[0].hash);
    free(pm_gather_done(g));
}

static void what_an_untouched_file_includes_is_still_found(void **state)
{
    pm_snapshot *last;
    pm_gather *g;

    (void)state;
    write_file("part.conf", "Listen 80\n", 10);
    last = done(scanned("<IfDefine off>\nDefine X y\n</IfDefine>\nInclude part.conf\n"));
    last->taken_us = pm_time_now() + 3 * PM_SECOND;
    g = gather();
    pm_gather_known(g, last);
    pm_gather_file(g, in_dir("main.conf"), &world);
    assert_non_null(file_named(g, "part.conf"));
    free(pm_gather_done(g));
}

/* ---- keeping ---- */

static void a_snapshot_comes_back_as_it_was_saved_without_what_tells_secrets_apart(void **state)
{
    const char *path = in_dir("x.config");
    pm_gather *g = gather();
    pm_snapshot *s, *back;
    struct stat st;
    pm_error err;

    (void)state;
    pm_gather_directive(g, 0, "SessionCryptoPassphrase", "hunter22", main_conf, 1);
    pm_gather_directive(g, 0, "Listen", "80", main_conf, 2);
    s = done(g);
    assert_true(pm_snapshot_marks(s)[0] != 0);
    assert_int_equal(pm_snapshot_save(s, path, &err), APR_SUCCESS);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, s->size);
    assert_int_equal(pm_snapshot_load(&back, path, &err), APR_SUCCESS);
    assert_true(pm_snapshot_same(s, back));
    assert_int_equal(pm_snapshot_marks(back)[0], 0);
    assert_int_equal(pm_config_changes(pm_config_compare(back, s, pool)), 0);
    free(back);
}

static void what_is_no_snapshot_is_refused_with_a_sentence(void **state)
{
    const char *path = in_dir("y.config");
    pm_snapshot *back;
    pm_error err;

    (void)state;
    assert_int_equal(pm_snapshot_load(&back, path, &err), APR_ENOENT);
    assert_int_equal(symlink("x.config", path), 0);
    assert_true(pm_snapshot_load(&back, path, &err) != APR_SUCCESS);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_true(pm_snapshot_load(&back, path, &err) != APR_SUCCESS);
    unlink(path);
    write_file("y.config", "", 0);
    assert_true(pm_snapshot_load(&back, path, &err) != APR_SUCCESS);
    assert_non_null(strstr(err.text, "y.config"));
    assert_null(back);
    assert_true(pm_snapshot_save(site(NULL, NULL), in_dir("absent/z.config"), &err) != APR_SUCCESS);
    assert_non_null(strstr(err.text, "z.config"));
}

/** In memory there is no checksum: what passes must be safe to compare. */
static void compare_if_valid(char *bytes, const pm_snapshot *s, const pm_snapshot *empty)
{
    apr_pool_t *scratch;
    const pm_config_diff *d;

    if (pm_snapshot_valid(bytes, pm_snapshot_size(s))) {
        apr_pool_create(&scratch, pool);
        pm_config_compare((pm_snapshot *)(void *)bytes, s, scratch);
        /* Beside an empty one every entry is a change, so that each text is used. */
        d = pm_config_compare((pm_snapshot *)(void *)bytes, empty, scratch);
        pm_config_sentence(d, "/r", scratch);
        pm_config_data(d, 1, 1 << 20, scratch);
        apr_pool_destroy(scratch);
    }
}

static void a_damaged_snapshot_is_refused_and_a_forged_one_harms_nothing(void **state)
{
    const char *path = in_dir("d.config");
    pm_snapshot *s = named("a.example", "/r/a.conf", 1, 1), *empty = done(gather()), *back;
    size_t size = s->size;
    char *bytes = malloc(pm_snapshot_size(s));
    uint64_t seed = 3;
    pm_error err;

    (void)state;
    assert_int_equal(pm_snapshot_save(s, path, &err), APR_SUCCESS);
    for (int n = 0; n < 3000; n++) {
        size_t at = splitmix_next(&seed) % size;

        memcpy(bytes, s, pm_snapshot_size(s));
        bytes[at] = (char)(bytes[at] ^ (1 + splitmix_next(&seed) % 255));
        if (n < 300) {
            write_file("d.config", bytes, n % 2 ? size : at);
            assert_true(pm_snapshot_load(&back, path, &err) != APR_SUCCESS);
        }
        compare_if_valid(bytes, s, empty);
    }
    for (size_t at = 0; at < size - s->text_size; at += 4) {
        memcpy(bytes, s, pm_snapshot_size(s));
        memset(bytes + at, 0xff, 4);
        compare_if_valid(bytes, s, empty);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_masked_and_nothing_else_is),
        cmocka_unit_test(a_known_value_is_masked_wherever_it_stands),
        cmocka_unit_test(a_value_of_fewer_than_four_bytes_is_let_through),
        cmocka_unit_test(names_of_secrets_are_known),
        cmocka_unit_test(masking_survives_any_bytes),
        cmocka_unit_test(the_place_of_a_macro_is_where_it_is_defined_and_where_it_is_used),
        cmocka_unit_test(a_sentence_that_is_no_place_is_taken_for_a_file),
        cmocka_unit_test(a_changed_directive_is_told_with_its_place_and_both_values),
        cmocka_unit_test(a_quoted_value_is_told_whole),
        cmocka_unit_test(a_line_of_a_macro_is_told_with_both_places),
        cmocka_unit_test(an_added_and_a_removed_directive_are_told),
        cmocka_unit_test(the_same_directive_in_another_virtual_host_is_a_change),
        cmocka_unit_test(moving_renaming_spacing_and_case_are_no_change),
        cmocka_unit_test(what_differs_within_quotes_is_a_change),
        cmocka_unit_test(the_same_line_twice_is_not_the_same_line_once),
        cmocka_unit_test(lines_of_one_kind_that_changed_places_are_told_but_are_no_change),
        cmocka_unit_test(a_virtual_host_with_another_name_is_still_the_same_one),
        cmocka_unit_test(what_came_or_went_as_a_whole_is_one_change),
        cmocka_unit_test(of_several_changes_the_one_that_others_follow_from_is_told),
        cmocka_unit_test(modules_that_come_and_go_are_told),
        cmocka_unit_test(another_secret_is_a_change_that_shows_neither),
        cmocka_unit_test(names_and_off_keep_what_they_say),
        cmocka_unit_test(a_hundred_thousand_changes_fit_and_are_counted),
        cmocka_unit_test(a_line_of_a_megabyte_differs_at_its_end_too),
        cmocka_unit_test(hostile_lines_of_a_megabyte_take_no_square_of_their_length),
        cmocka_unit_test(binary_bytes_are_told_as_text),
        cmocka_unit_test(included_files_are_found_through_patterns_folders_and_active_sections),
        cmocka_unit_test(defines_and_modules_have_the_place_of_their_line),
        cmocka_unit_test(a_define_is_told_first_wherever_it_stands),
        cmocka_unit_test(odd_files_are_told_and_stop_nothing),
        cmocka_unit_test(an_edit_that_changes_no_directive_names_its_file),
        cmocka_unit_test(a_file_that_was_not_touched_is_not_read_again),
        cmocka_unit_test(an_edit_whose_time_was_set_back_is_read),
        cmocka_unit_test(what_an_untouched_file_includes_is_still_found),
        cmocka_unit_test(names_are_defined_by_active_lines_that_no_undefine_follows),
        cmocka_unit_test(a_snapshot_comes_back_as_it_was_saved_without_what_tells_secrets_apart),
        cmocka_unit_test(what_is_no_snapshot_is_refused_with_a_sentence),
        cmocka_unit_test(a_damaged_snapshot_is_refused_and_a_forged_one_harms_nothing),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, begin, end);
}
