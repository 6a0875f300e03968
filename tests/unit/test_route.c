/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_route.c: the routes of URIs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pm_route.h"
#include "splitmix.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct folding {
    const char *uri, *route;
} folding;

static void assert_routes(const folding *cases, size_t count)
{
    char route[PM_ROUTE_SIZE];

    for (size_t i = 0; i < count; i++) {
        size_t n = pm_route_fold(route, sizeof(route), cases[i].uri, strlen(cases[i].uri));

        assert_string_equal(route, cases[i].route);
        assert_int_equal(n, strlen(route));
    }
}

static void variable_parts_are_folded(void **state)
{
    static const folding cases[] = {
        {"/users/42", "/users/{id}"},
        {"/users/42/", "/users/{id}/"},
        {"/users/42/orders/1234567", "/users/{id}/orders/{id}"},
        {"/users/-12", "/users/{id}"},
        {"/points/51.5,-0.12", "/points/{id}"},
        {"/ids/1,2,3", "/ids/{id}"},
        {"/page-2", "/page-{id}"},
        {"/user12345", "/user{id}"},
        {"/order/ORD-2024-00017", "/order/ORD-{id}"},
        {"/sku/AB-1234-XY", "/sku/AB-{id}-XY"},
        {"/thumb/1920x1080", "/thumb/{id}"},
        {"/a/550e8400-e29b-41d4-a716-446655440000/edit", "/a/{uuid}/edit"},
        {"/a/550E8400-E29B-41D4-A716-446655440000", "/a/{uuid}"},
        {"/a/%7B550e8400-e29b-41d4-a716-446655440000%7D", "/a/{uuid}"},
        {"/commit/3f2a9c1b7d", "/commit/{hash}"},
        {"/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/commit/{hash}"},
        {"/deadbeefdeadbeef", "/{hash}"},
        {"/0xdeadBEEF", "/{hash}"},
        {"/u/jane.doe@example.org/x", "/u/{email}/x"},
        {"/u/jane.doe%40example.org", "/u/{email}"},
        {"/logs/2024-01-21", "/logs/{date}"},
        {"/logs/2024-01", "/logs/{date}"},
        {"/logs/2024-01-21T10:00:00Z", "/logs/{date}"},
        {"/20240121/report", "/{date}/report"},
        {"/a/2024/01/21/b", "/a/{id}/{id}/{id}/b"},
        {"/watch/dQw4w9WgXcQ", "/watch/{token}"},
        {"/x/k3j9x2m1", "/x/{token}"},
        {"/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/{token}"},
        {"/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123", "/reset/{token}"},
        {"/.well-known/acme-challenge/abcdEFGH1234ijklMNOP", "/.well-known/acme-challenge/{token}"},
        {"/192.168.1.7/x", "/{ip}/x"},
        {"/2001:db8::1/x", "/{ip}/x"},
    };

    (void)state;
    assert_routes(cases, COUNT(cases));
}

static void names_stay_and_a_files_extension_too(void **state)
{
    static const folding cases[] = {
        {"/", "/"},
        {"*", "*"},
        {"/index.html", "/index.html"},
        {"/v1/users", "/v1/users"},
        {"/oauth2/token", "/oauth2/token"},
        {"/utf8/sha256/mp3", "/utf8/sha256/mp3"},
        {"/~joe/home", "/~joe/home"},
        {"/decade/facade", "/decade/facade"},
        {"/2fa/3d", "/2fa/3d"},
        {"/getUserAccountDetails", "/getUserAccountDetails"},
        {"/p/a-long-slug-of-words-that-is-no-token", "/p/a-long-slug-of-words-that-is-no-token"},
        {"/img/1234.jpg", "/img/{id}.jpg"},
        {"/img/img_1234.jpg", "/img/img_{id}.jpg"},
        {"/files/report-2024-01-21.pdf", "/files/report-{date}.pdf"},
        {"/static/app.3f2a9c1b.js", "/static/app.{hash}.js"},
        {"/static/main-4f3e2d1c.css", "/static/main-{hash}.css"},
        {"/jquery-3.6.0.min.js", "/jquery-{id}.min.js"},
        {"/up/photo-300x200.png", "/up/photo-{id}.png"},
        {"/file.tar.gz", "/file.tar.gz"},
        {"/a.woff2", "/a.woff2"},
    };

    (void)state;
    assert_routes(cases, COUNT(cases));
}

static void nothing_but_the_path_is_in_a_route(void **state)
{
    static const folding cases[] = {
        {"", "/"},
        {"//", "/"},
        {"//a///b", "/a/b"},
        {"/x?token=1", "/x"},
        {"/x?a/b", "/x"},
        {"?x", "/"},
        {"/x#frag", "/x"},
        {"/x;jsessionid=ABCDEF/y", "/x/y"},
        {"http://u:p@h.example:80/a/1?b", "/a/{id}"},
        {"https://h.example", "/"},
        {"/a/http://h.example/1", "/a/http:/h.example/{id}"},
        {"h.example:443", "h.example:{id}"},
    };

    (void)state;
    assert_routes(cases, COUNT(cases));
}

static void hostile_bytes_come_out_inert(void **state)
{
    static const folding cases[] = {
        {"/%61%62c/%zz/%", "/abc/%zz/%"},
        {"/a%2Fb/c", "/a%2Fb/c"},
        {"/a%2fb", "/a%2fb"},
        {"/a%20b/c%00d", "/a%20b/c%00d"},
        {"/%C3%A9/%FF", "/\xC3\xA9/%FF"},
        {"/\x1b[31m/\x7f", "/%1B[31m/%7F"},
        {"/\xC2\x9B", "/%C2%9B"},
        {"/cgi-bin/<script>", "/cgi-bin/%3Cscript%3E"},
        {"/\"quote\"", "/%22quote%22"},
        {"/{id}/x", "/%7Bid%7D/x"},
        {"/a/../b/./c", "/a/../b/./c"},
        {"/%252e%252e", "/%2e%2e"},
    };

    (void)state;
    assert_routes(cases, COUNT(cases));
}

static void a_route_is_bounded_in_length_and_depth(void **state)
{
    char route[300], uri[70000] = "/";

    (void)state;
    assert_routes((folding[]){{"/1/2/3/4/5/6/7/8/9/10/11/12/13/14",
                               "/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/"
                               "\xE2\x80\xA6"}},
                  1);
    memset(uri + 1, 'a', 65536);
    pm_route_fold(route, sizeof(route), uri, strlen(uri));
    assert_string_equal(route, "/{token}");
    for (size_t i = 0; i + 8 < 65536; i += 8) {
        memcpy(uri + i, "/abcdefg", 8);
    }
    assert_int_equal(pm_route_fold(route, sizeof(route), uri, strlen(uri)), 12 * 8 + 1 + 3);
    memset(uri, 0, sizeof(uri));
    for (size_t i = 0; i + 61 < 6000; i += 61) {
        memcpy(uri + i, "/abc-abc-abc-abc-abc-abc-abc-abc-abc-abc-abc-abc-abc-abc-abcd", 61);
    }
    assert_in_range(pm_route_fold(route, sizeof(route), uri, strlen(uri)), PM_ROUTE_SIZE - 8,
                    PM_ROUTE_SIZE - 1);
    assert_string_equal(route + strlen(route) - 3, "\xE2\x80\xA6");
    for (size_t size = 0; size < 20; size++) {
        memset(route, 'x', sizeof(route));
        assert_true(pm_route_fold(route, size, "/abc/\xC3\xA9\xC3\xA9/42", 12) < (size ? size : 1));
        assert_int_equal(route[size], 'x');
    }
}

static void any_bytes_at_all_fold_into_clean_text(void **state)
{
    char uri[400], route[PM_ROUTE_SIZE];
    uint64_t seed = 7;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t len = splitmix_next(&seed) % sizeof(uri);
        size_t n;

        for (size_t i = 0; i < len; i++) {
            static const char some[] = "//%4af-.@:0123456789eE\xC3\xA9?;{";

            uri[i] = splitmix_next(&seed) % 4 ? some[splitmix_next(&seed) % (sizeof(some) - 1)]
                                              : (char)splitmix_next(&seed);
        }
        n = pm_route_fold(route, sizeof(route), uri, len);
        assert_int_equal(n, strlen(route));
        assert_true(n > 0 && n < sizeof(route));
        for (size_t i = 0; i < n;) {
            size_t taken = pm_text_utf8(route + i, n - i);

            assert_int_not_equal(taken, 0);
            assert_false(pm_text_control(route + i, taken));
            i += taken;
        }
        assert_null(strchr(route, '?'));
    }
}

static void a_uri_is_kept_with_its_numbers_and_without_its_secrets(void **state)
{
    static const char uri[] = "/u/jane@example.org/42/2024-01-21/dQw4w9WgXcQ?a=b#c";
    char kept[256];

    (void)state;
    pm_route_mask(kept, sizeof(kept), uri, sizeof(uri), 0);
    assert_string_equal(kept, "/u/{email}/42/2024-01-21/{token}");
    pm_route_mask(kept, sizeof(kept), uri, sizeof(uri), 1);
    assert_string_equal(kept, "/u/{email}/42/2024-01-21/{token}?a=b");
    pm_route_mask(kept, sizeof(kept), NULL, 0, 1);
    assert_string_equal(kept, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variable_parts_are_folded),
        cmocka_unit_test(names_stay_and_a_files_extension_too),
        cmocka_unit_test(nothing_but_the_path_is_in_a_route),
        cmocka_unit_test(hostile_bytes_come_out_inert),
        cmocka_unit_test(a_route_is_bounded_in_length_and_depth),
        cmocka_unit_test(any_bytes_at_all_fold_into_clean_text),
        cmocka_unit_test(a_uri_is_kept_with_its_numbers_and_without_its_secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
