/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: requests, leases and readings of load, as they come and with the
 * checksum that they should have. What is refused says why; what is taken is as
 * the headers promise, and is taken again when it is written.
 */

#include "sealed.h"
#include "setmov/catalog_load.h"
#include "setmov/catalog_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_host(const char *name)
{
    must(name[0] != '\0' && name[0] != '.' && name[0] != '-' && strpbrk(name, "/ \n%") == NULL);
}

static void try_request(struct text text)
{
    struct catalog_request request = {.vm_name = NULL}, again;
    struct error err = {""};
    char *written;
    size_t length;

    if (catalog_request_parse(text, "r", &request, &err) < 0) {
        must(request.vm_name == NULL && strncmp(err.text, "r: ", 3) == 0);
        return;
    }
    check_host(request.holder);
    check_host(request.refuser);
    check_host(request.target);
    must(request.made_s >= 0 && request.expires_s >= request.made_s);
    must(catalog_request_encode(&request, &written, &length, NULL) == 0);
    must(catalog_request_parse(text_of(written, length), "r", &again, NULL) == 0);
    must(strcmp(request.vm_name, again.vm_name) == 0);
    catalog_request_release(&again);
    catalog_request_release(&request);
    free(written);
}

static void try_lease(struct text text)
{
    struct catalog_lease lease = {.path = NULL}, again;
    struct error err = {""};
    char *written;
    size_t length;

    if (catalog_lease_parse(text, "l", &lease, &err) < 0) {
        must(lease.path == NULL && strncmp(err.text, "l: ", 3) == 0);
        return;
    }
    must(lease.path[0] == '/' && strstr(lease.path, "/../") == NULL);
    must(lease.made_s >= 0 && lease.expires_s >= lease.made_s);
    must(catalog_lease_encode(&lease, &written, &length, NULL) == 0);
    must(catalog_lease_parse(text_of(written, length), "l", &again, NULL) == 0);
    must(strcmp(lease.path, again.path) == 0);
    catalog_lease_release(&again);
    catalog_lease_release(&lease);
    free(written);
}

static void try_load(struct text text)
{
    struct catalog_load_reading reading = {0};
    struct catalog_load load = {0}, again;
    struct error err = {""};
    char *written;
    size_t length;

    if (catalog_load_parse(text, &load, &err) < 0) {
        must(load.readings == NULL && err.text[0] != '\0');
        return;
    }
    for (uint64_t window_s = 1; window_s < UINT64_MAX / 1000; window_s *= 1000) {
        double percent = catalog_load_percent(&load, 1700000000, window_s);

        must(percent != percent || (percent >= 0 && percent <= 100));
    }
    must(catalog_load_encode(&load, &written, &length) == 0);
    must(catalog_load_parse(text_of(written, length), &again, NULL) == 0);
    must(load.count == again.count);
    if (load.count > 0)
        reading = load.readings[load.count / 2];
    must(catalog_load_add(&load, &reading, 300) == 0 && load.count <= CATALOG_LOAD_MAX);
    catalog_load_release(&again);
    catalog_load_release(&load);
    free(written);
}

static void try_text(struct text text)
{
    try_request(text);
    try_lease(text);
    try_load(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length;
    char *text = fuzz_seal(data, size, &length);

    try_text(text_of((const char *)data, size));
    try_text(text_of(text, length));
    free(text);
    return 0;
}
