/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests and leases to stdout, for tests:
 *
 *   request_tool request UUID NAME HOLDER REFUSER TARGET MADE EXPIRES
 *   request_tool lease UUID PATH DEVICE INODE MADE EXPIRES
 *
 * Times are seconds from now, and may be negative.
 */
#include "setmov/catalog_request.h"

#include <stdio.h>
#include <string.h>

static bool take_time(const char *word, int64_t *ret_time_s)
{
    bool before = word[0] == '-';
    uint64_t seconds;

    if (parse_u64(word + before, &seconds) < 0)
        return false;
    *ret_time_s = time(NULL) + (before ? -(int64_t)seconds : (int64_t)seconds);
    return true;
}

static int make_request(char **words, char **ret_text, size_t *ret_length, struct error *err)
{
    struct catalog_request request = {.vm_name = words[1],
                                      .holder = words[2],
                                      .refuser = words[3],
                                      .target = words[4],
                                      .refuser_bytes = 2000000,
                                      .target_bytes = 1000000};

    if (uuid_parse(words[0], &request.vm) < 0 || !take_time(words[5], &request.made_s) ||
        !take_time(words[6], &request.expires_s))
        return error_set(err, -1, "bad UUID or time");
    return catalog_request_encode(&request, ret_text, ret_length, err);
}

static int make_lease(char **words, char **ret_text, size_t *ret_length, struct error *err)
{
    struct catalog_lease lease = {.path = words[1]};

    if (uuid_parse(words[0], &lease.vm) < 0 || parse_u64(words[2], &lease.device) < 0 ||
        parse_u64(words[3], &lease.inode) < 0 || !take_time(words[4], &lease.made_s) ||
        !take_time(words[5], &lease.expires_s))
        return error_set(err, -1, "bad UUID, number or time");
    return catalog_lease_encode(&lease, ret_text, ret_length, err);
}

int main(int argc, char **argv)
{
    CLEANUP(cleanup_free) char *text = NULL;
    struct error err = {"usage"};
    size_t length = 0;
    int rc = -1;

    if (argc == 9 && strcmp(argv[1], "request") == 0)
        rc = make_request(argv + 2, &text, &length, &err);
    else if (argc == 8 && strcmp(argv[1], "lease") == 0)
        rc = make_lease(argv + 2, &text, &length, &err);
    if (rc < 0)
        fprintf(stderr, "request_tool: %s\n", err.text);
    return rc < 0 || fwrite(text, 1, length, stdout) != length || fflush(stdout) != 0;
}
