/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests and leases: a few lines each, in this order and no other. */

#include "setmov/catalog_lines.h"
#include "setmov/catalog_request.h"

#include <errno.h>

#define REQUEST_NOUN    "request"
#define REQUEST_VERSION 1
#define LEASE_NOUN      "lease"
#define LEASE_VERSION   1

/* ---- both ---------------------------------------------------------------------- */

static void write_times(struct lines_writer *writer, int64_t made_s, int64_t expires_s)
{
    lines_write_key(writer, "made");
    lines_write_time(writer, "when it was made", made_s);
    lines_write_key(writer, "expires");
    lines_write_time(writer, "when it expires", expires_s);
    if (expires_s < made_s)
        lines_write_fail(writer, -EINVAL, "it expires before it was made");
}

static void read_times(struct lines_reader *reader, int64_t *ret_made_s, int64_t *ret_expires_s)
{
    lines_read_key(reader, "made");
    lines_read_time(reader, "when it was made", ret_made_s);
    lines_read_line_end(reader);
    lines_read_key(reader, "expires");
    lines_read_time(reader, "when it expires", ret_expires_s);
    if (lines_read_line_end(reader) == 0 && *ret_expires_s < *ret_made_s)
        lines_read_fail(reader, -EINVAL, "it expires before it was made");
}

/* ---- requests ------------------------------------------------------------------- */

int catalog_request_encode(const struct catalog_request *request, char **ret_text,
                           size_t *ret_length, struct error *err)
{
    struct lines_writer writer;

    lines_write_head(&writer, REQUEST_NOUN, REQUEST_VERSION, err);
    lines_write_key(&writer, "vm");
    lines_write_uuid(&writer, &request->vm);
    lines_write_string(&writer, "the VM's name", request->vm_name, LINES_NAME_MAX);
    lines_write_key(&writer, "holder");
    lines_write_host(&writer, "the host that has the VM", request->holder);
    lines_write_key(&writer, "refuser");
    lines_write_host(&writer, "the host that refused it", request->refuser);
    lines_write_u64(&writer, request->refuser_bytes);
    lines_write_key(&writer, "target");
    lines_write_host(&writer, "the host where it should go", request->target);
    lines_write_u64(&writer, request->target_bytes);
    write_times(&writer, request->made_s, request->expires_s);
    return lines_write_end(&writer, CATALOG_SMALL_BYTES, ret_text, ret_length);
}

int catalog_request_parse(struct text text, const char *what, struct catalog_request *ret_request,
                          struct error *err)
{
    struct catalog_request request = {.vm_name = NULL};
    struct lines_reader reader;

    if (lines_read_head(&reader, text, what, REQUEST_NOUN, REQUEST_VERSION, CATALOG_SMALL_BYTES,
                        err) < 0)
        return reader.rc;
    lines_read_key(&reader, "vm");
    lines_read_uuid(&reader, &request.vm);
    lines_read_string(&reader, "the VM's name", LINES_NAME_MAX, &request.vm_name);
    lines_read_line_end(&reader);
    lines_read_key(&reader, "holder");
    lines_read_host(&reader, "the host that has the VM", &request.holder);
    lines_read_line_end(&reader);
    lines_read_key(&reader, "refuser");
    lines_read_host(&reader, "the host that refused it", &request.refuser);
    lines_read_u64_or_unknown(&reader, "what would be sent there", &request.refuser_bytes);
    lines_read_line_end(&reader);
    lines_read_key(&reader, "target");
    lines_read_host(&reader, "the host where it should go", &request.target);
    lines_read_u64_or_unknown(&reader, "what would be sent there", &request.target_bytes);
    lines_read_line_end(&reader);
    read_times(&reader, &request.made_s, &request.expires_s);
    if (lines_read_end(&reader) < 0)
        catalog_request_release(&request);
    else
        *ret_request = request;
    return reader.rc;
}

void catalog_request_release(struct catalog_request *request)
{
    if (request == NULL)
        return;
    free(request->vm_name);
    free(request->holder);
    free(request->refuser);
    free(request->target);
    *request = (struct catalog_request){.vm_name = NULL};
}

/* ---- leases ---------------------------------------------------------------------- */

static bool is_plain(const char *path)
{
    return lines_path_is_plain(path);
}

int catalog_lease_encode(const struct catalog_lease *lease, char **ret_text, size_t *ret_length,
                         struct error *err)
{
    struct lines_writer writer;

    lines_write_head(&writer, LEASE_NOUN, LEASE_VERSION, err);
    lines_write_key(&writer, "vm");
    lines_write_uuid(&writer, &lease->vm);
    lines_write_key(&writer, "image");
    if (!is_plain(lease->path))
        lines_write_fail(&writer, -EINVAL, "'%.200s' is not the plain path of an image",
                         lease->path != NULL ? lease->path : "");
    lines_write_string(&writer, "the image's path", lease->path, LINES_PATH_MAX);
    lines_write_u64(&writer, lease->device);
    lines_write_u64(&writer, lease->inode);
    write_times(&writer, lease->made_s, lease->expires_s);
    return lines_write_end(&writer, CATALOG_SMALL_BYTES, ret_text, ret_length);
}

int catalog_lease_parse(struct text text, const char *what, struct catalog_lease *ret_lease,
                        struct error *err)
{
    struct catalog_lease lease = {.path = NULL};
    struct lines_reader reader;

    if (lines_read_head(&reader, text, what, LEASE_NOUN, LEASE_VERSION, CATALOG_SMALL_BYTES, err) <
        0)
        return reader.rc;
    lines_read_key(&reader, "vm");
    lines_read_uuid(&reader, &lease.vm);
    lines_read_line_end(&reader);
    lines_read_key(&reader, "image");
    lines_read_string(&reader, "the image's path", LINES_PATH_MAX, &lease.path);
    lines_read_u64(&reader, "the image's device", &lease.device);
    lines_read_u64(&reader, "the image's inode", &lease.inode);
    if (lines_read_line_end(&reader) == 0 && !is_plain(lease.path))
        lines_read_fail(&reader, -EINVAL, "'%.200s' is not the plain path of an image", lease.path);
    read_times(&reader, &lease.made_s, &lease.expires_s);
    if (lines_read_end(&reader) < 0)
        catalog_lease_release(&lease);
    else
        *ret_lease = lease;
    return reader.rc;
}

void catalog_lease_release(struct catalog_lease *lease)
{
    if (lease == NULL)
        return;
    free(lease->path);
    *lease = (struct catalog_lease){.path = NULL};
}
