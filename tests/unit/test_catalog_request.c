/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests and leases: a few lines, and nothing that is not quite so. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sealed_text.h"
#include "setmov/catalog_request.h"

#include <errno.h>

#define UUID    "01234567-89ab-cdef-0fed-cba987654321"
#define REQUEST "setmov-request 1\n"
#define VM      "vm " UUID " web%201\n"
#define HOSTS   "holder alpha\nrefuser beta 1000\ntarget gamma 12\n"
#define TIMES   "made 1700000000\nexpires 1700003600\n"
#define LEASE   "setmov-lease 1\nvm " UUID "\n"
#define IMAGE   "image /images/a%20b.qcow2 64769 131\n"

static int parse_request(struct text text, struct error *err)
{
    struct catalog_request request = {.vm_name = NULL}, untouched = {.vm_name = NULL};
    int rc = catalog_request_parse(text, "r", &request, err);

    if (rc == 0)
        catalog_request_release(&request);
    assert_memory_equal(&request, &untouched, sizeof(request));
    return rc;
}

static int parse_lease(struct text text, struct error *err)
{
    struct catalog_lease lease = {.path = NULL}, untouched = {.path = NULL};
    int rc = catalog_lease_parse(text, "l", &lease, err);

    if (rc == 0)
        catalog_lease_release(&lease);
    assert_memory_equal(&lease, &untouched, sizeof(lease));
    return rc;
}

static bool request_is_taken(struct text text)
{
    return parse_request(text, NULL) == 0;
}

static bool lease_is_taken(struct text text)
{
    return parse_lease(text, NULL) == 0;
}

static void refused(const char *lines, int code, const char *message)
{
    char *text = sealed_text(lines);
    bool is_lease = message[0] == 'l';
    struct error err = {""};
    int rc = (is_lease ? parse_lease : parse_request)(text_of(text, strlen(text)), &err);

    if (rc != code)
        fail_msg("%d for '%s': %s", rc, lines, err.text);
    assert_string_equal(err.text, message);
    free(text);
}

/* ---- requests ------------------------------------------------------------------------- */

static void a_request_and_back(void **state)
{
    char *expected = sealed_text(REQUEST VM HOSTS TIMES), *text;
    struct catalog_request request;
    struct error err = {""};
    size_t length;

    (void)state;
    assert_int_equal(
        catalog_request_parse(text_of(expected, strlen(expected)), "r", &request, &err), 0);
    assert_int_equal(request.vm.bytes[15], 0x21);
    assert_string_equal(request.vm_name, "web 1");
    assert_string_equal(request.holder, "alpha");
    assert_string_equal(request.refuser, "beta");
    assert_string_equal(request.target, "gamma");
    assert_int_equal(request.refuser_bytes, 1000);
    assert_int_equal(request.target_bytes, 12);
    assert_int_equal(request.made_s, 1700000000);
    assert_int_equal(request.expires_s, 1700003600);
    assert_int_equal(catalog_request_encode(&request, &text, &length, &err), 0);
    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
    sealed_text_must_be_whole(text, length, request_is_taken);
    catalog_request_release(&request);
    catalog_request_release(&request);
    catalog_request_release(NULL);
    free(text);
    free(expected);
}

static void requests_that_are_refused(void **state)
{
    (void)state;
    refused("setmov-request 2\n", -ENOTSUP, "r: a request of version 2; this program knows 1");
    refused("setmov-lease 1\n" VM HOSTS TIMES, -EINVAL,
            "r: this is no request: its first line is not 'setmov-request 1'");
    refused(REQUEST, -EINVAL, "r: line 2: 'vm' is missing");
    refused(REQUEST HOSTS TIMES, -EINVAL, "r: line 2: 'holder' where 'vm' should be");
    refused(REQUEST "vm " UUID "\n" HOSTS TIMES, -EINVAL, "r: line 2: the VM's name is missing");
    refused(REQUEST VM "holder ../etc\n", -EINVAL,
            "r: line 3: the host that has the VM '../etc' cannot be a host's name");
    refused(REQUEST VM "holder %0Aalpha\n", -EINVAL,
            "r: line 3: the host that has the VM ' alpha' cannot be a host's name");
    refused(REQUEST VM "holder alpha\nrefuser -b 1\n", -EINVAL,
            "r: line 4: the host that refused it '-b' cannot be a host's name");
    refused(REQUEST VM "holder alpha\nrefuser b 1\ntarget a%2Fb 1\n", -EINVAL,
            "r: line 5: the host where it should go 'a/b' cannot be a host's name");
    refused(REQUEST VM "holder alpha\nrefuser b\n", -EINVAL,
            "r: line 4: what would be sent there is missing");
    refused(REQUEST VM HOSTS "made 1700000000\n", -EINVAL, "r: line 7: 'expires' is missing");
    refused(REQUEST VM HOSTS "made 2\nexpires 1\n", -EINVAL,
            "r: line 7: it expires before it was made");
    refused(REQUEST VM HOSTS "made 2 2\nexpires 3\n", -EINVAL,
            "r: line 6: more words than there should be");
    refused(REQUEST VM HOSTS TIMES "target delta 0\n", -EINVAL,
            "r: line 8: more lines than there should be");
}

static void requests_that_are_not_written(void **state)
{
    char alpha[] = "alpha", bad[] = "a b", name[300];
    struct catalog_request request = {.vm_name = alpha,
                                      .holder = alpha,
                                      .refuser = alpha,
                                      .target = alpha,
                                      .made_s = 1,
                                      .expires_s = 1,
                                      .refuser_bytes = UNKNOWN_U64};
    char **const hosts[] = {&request.holder, &request.refuser, &request.target};
    struct error err = {""};
    char *text = NULL;
    size_t length;

    (void)state;
    assert_int_equal(catalog_request_encode(&request, &text, &length, &err), 0);
    assert_true(request_is_taken(text_of(text, length)));
    free(text);
    text = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
        *hosts[i] = bad;
        assert_int_equal(catalog_request_encode(&request, &text, &length, &err), -EINVAL);
        assert_non_null(strstr(err.text, " 'a b' cannot be a host's name"));
        *hosts[i] = NULL;
        assert_int_equal(catalog_request_encode(&request, &text, &length, &err), -EINVAL);
        *hosts[i] = alpha;
    }
    memset(name, 'x', sizeof(name));
    name[299] = '\0';
    request.vm_name = name;
    assert_int_equal(catalog_request_encode(&request, &text, &length, &err), -EINVAL);
    assert_string_equal(err.text, "the VM's name is too long: 299 bytes, of 1 to 255");
    request.vm_name = alpha;
    request.expires_s = 0;
    assert_int_equal(catalog_request_encode(&request, &text, &length, &err), -EINVAL);
    assert_string_equal(err.text, "it expires before it was made");
    assert_null(text);
}

static void larger_ones_are_not_read(void **state)
{
    char *text = calloc(1, CATALOG_SMALL_BYTES + 1);
    struct error err = {""};

    (void)state;
    assert_non_null(text);
    assert_int_equal(parse_request(text_of(text, CATALOG_SMALL_BYTES + 1), &err), -EINVAL);
    assert_string_equal(err.text, "r: 65537 bytes are too many for a request; at most 65536");
    assert_int_equal(parse_lease(text_of(text, CATALOG_SMALL_BYTES + 1), &err), -EINVAL);
    assert_string_equal(err.text, "l: 65537 bytes are too many for a lease; at most 65536");
    free(text);
}

/* ---- leases --------------------------------------------------------------------------- */

static void a_lease_and_back(void **state)
{
    char *expected = sealed_text(LEASE IMAGE TIMES), *text;
    struct catalog_lease lease;
    struct error err = {""};
    size_t length;

    (void)state;
    assert_int_equal(catalog_lease_parse(text_of(expected, strlen(expected)), "l", &lease, &err),
                     0);
    assert_int_equal(lease.vm.bytes[0], 1);
    assert_string_equal(lease.path, "/images/a b.qcow2");
    assert_int_equal(lease.device, 64769);
    assert_int_equal(lease.inode, 131);
    assert_int_equal(lease.made_s, 1700000000);
    assert_int_equal(lease.expires_s, 1700003600);
    assert_int_equal(catalog_lease_encode(&lease, &text, &length, &err), 0);
    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
    sealed_text_must_be_whole(text, length, lease_is_taken);
    catalog_lease_release(&lease);
    catalog_lease_release(&lease);
    catalog_lease_release(NULL);
    free(text);
    free(expected);
}

static void leases_that_are_refused(void **state)
{
    (void)state;
    refused("setmov-lease 2\n", -ENOTSUP, "l: a lease of version 2; this program knows 1");
    refused(LEASE TIMES, -EINVAL, "l: line 3: 'made' where 'image' should be");
    refused(LEASE "image /a 1\n" TIMES, -EINVAL, "l: line 3: the image's inode is missing");
    refused(LEASE IMAGE "made 2\nexpires 1\n", -EINVAL, "l: line 5: it expires before it was made");
    refused(LEASE IMAGE TIMES IMAGE, -EINVAL, "l: line 6: more lines than there should be");
}

/* Whoever can put a lease there must not have any file removed for it. */
static void only_plain_paths_are_leased(void **state)
{
    static const char *const plain[] = {"/a", "/a/b", "/a//b", "/.a/..b/c..", "/a/...", "/a\nb"};
    static const char *const others[] = {"a",   "/",     "/a/",     "./a",      "/./a", "/a/.",
                                         "/..", "/a/..", "/a/../b", "/a//../b", "../a", "/../a"};
    char path[32];
    struct catalog_lease lease = {.path = path};
    struct error err = {""};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(plain) + ARRAY_LENGTH(others); i++) {
        bool is_plain = i < ARRAY_LENGTH(plain);
        char lines[256], *text;
        size_t length;
        int rc;

        string_copy(path, sizeof(path), is_plain ? plain[i] : others[i - ARRAY_LENGTH(plain)]);
        rc = catalog_lease_encode(&lease, &text, &length, &err);
        if (rc != (is_plain ? 0 : -EINVAL))
            fail_msg("'%s': %d", path, rc);
        if (rc == 0) {
            assert_true(lease_is_taken(text_of(text, length)));
            free(text);
            continue;
        }
        string_format(lines, sizeof(lines), LEASE "image %s 1 2\n" TIMES, path);
        text = sealed_text(lines);
        assert_int_equal(parse_lease(text_of(text, strlen(text)), &err), -EINVAL);
        string_format(lines, sizeof(lines), "l: line 3: '%s' is not the plain path of an image",
                      path);
        assert_string_equal(err.text, lines);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_and_back),
        cmocka_unit_test(requests_that_are_refused),
        cmocka_unit_test(requests_that_are_not_written),
        cmocka_unit_test(larger_ones_are_not_read),
        cmocka_unit_test(a_lease_and_back),
        cmocka_unit_test(leases_that_are_refused),
        cmocka_unit_test(only_plain_paths_are_leased),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
