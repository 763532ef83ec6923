/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only reads an image through qemu-nbd and libnbd, as fast as one thread can:
 * asks which extents hold data and reads those, 16 requests of 256 KiB in
 * flight. The floor under everything that reads images of QEMU's formats.
 *
 *   nbd_reader FORMAT IMAGE
 */
#include "setmov/base.h"

#include <libnbd.h>

#define REQUEST_BYTES ((size_t)256 << 10)
#define IN_FLIGHT     16
#define STATUS_BYTES  ((uint64_t)1 << 30)

struct extents {
    uint64_t *bounds; /* begin, end, begin, end ... of data */
    size_t count, capacity;
    uint64_t end;
};

static int take_extents(void *user_data, const char *context, uint64_t offset, uint32_t *entries,
                        size_t count, int *error)
{
    struct extents *extents = user_data;

    (void)context;
    (void)error;
    for (size_t i = 0; i + 1 < count; i += 2) {
        uint64_t end = offset + entries[i];

        if ((entries[i + 1] & LIBNBD_STATE_ZERO) == 0) {
            if (array_reserve(&extents->bounds, &extents->capacity, extents->count + 2,
                              sizeof(*extents->bounds)) < 0)
                return -1;
            extents->bounds[extents->count++] = offset;
            extents->bounds[extents->count++] = end;
        }
        offset = end;
    }
    extents->end = offset;
    return 0;
}

struct slot {
    char *buffer;
    bool busy;
};

static int slot_done(void *user_data, int *error)
{
    struct slot *slot = user_data;

    if (*error != 0) {
        fputs("a read failed\n", stderr);
        exit(1);
    }
    slot->busy = false;
    return 1;
}

/* Waits until one is free; `all`: until all are, then NULL. */
static struct slot *wait_for_slot(struct nbd_handle *handle, struct slot *slots, bool all)
{
    for (;;) {
        size_t busy = 0;

        for (size_t i = 0; i < IN_FLIGHT; i++) {
            if (!slots[i].busy && !all)
                return &slots[i];
            busy += slots[i].busy;
        }
        if (busy == 0)
            return NULL;
        if (nbd_poll(handle, -1) < 0) {
            fprintf(stderr, "%s\n", nbd_get_error());
            exit(1);
        }
    }
}

static uint64_t read_extent(struct nbd_handle *handle, struct slot *slots, uint64_t from,
                            uint64_t end)
{
    for (uint64_t at = from; at < end;) {
        struct slot *slot = wait_for_slot(handle, slots, false);
        size_t piece = end - at < REQUEST_BYTES ? (size_t)(end - at) : REQUEST_BYTES;
        nbd_completion_callback done = {.callback = slot_done, .user_data = slot};

        slot->busy = true;
        if (nbd_aio_pread(handle, slot->buffer, piece, at, done, 0) < 0) {
            fprintf(stderr, "%s\n", nbd_get_error());
            exit(1);
        }
        at += piece;
    }
    return end - from;
}

static uint64_t read_data(struct nbd_handle *handle)
{
    struct slot slots[IN_FLIGHT] = {{0}};
    struct extents extents = {0};
    int64_t size = nbd_get_size(handle);
    uint64_t read = 0;

    for (size_t i = 0; i < IN_FLIGHT; i++)
        slots[i].buffer = malloc(REQUEST_BYTES);
    while (size > 0 && extents.end < (uint64_t)size) {
        uint64_t rest = (uint64_t)size - extents.end;
        nbd_extent_callback take = {.callback = take_extents, .user_data = &extents};

        extents.count = 0;
        if (nbd_block_status(handle, rest < STATUS_BYTES ? rest : STATUS_BYTES, extents.end, take,
                             0) < 0) {
            fprintf(stderr, "%s\n", nbd_get_error());
            exit(1);
        }
        for (size_t i = 0; i < extents.count; i += 2)
            read += read_extent(handle, slots, extents.bounds[i], extents.bounds[i + 1]);
        wait_for_slot(handle, slots, true);
    }
    for (size_t i = 0; i < IN_FLIGHT; i++)
        free(slots[i].buffer);
    free(extents.bounds);
    return read;
}

/* qemu-nbd is started by libnbd, with this program's environment. */
static int connect_to(struct nbd_handle *handle, const char *format_option, const char *image)
{
    const char *command[] = {"qemu-nbd", "--read-only", format_option, image, NULL};

    if (nbd_add_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
        nbd_set_pread_initialize(handle, false) < 0)
        return -1;
    return nbd_connect_systemd_socket_activation(handle, (char **)command);
}

int main(int argc, char **argv)
{
    struct nbd_handle *handle = nbd_create();
    char format[64];

    if (argc != 3 || handle == NULL ||
        !string_format(format, sizeof(format), "--format=%s", argv[1]))
        return 2;
    if (connect_to(handle, format, argv[2]) < 0) {
        fprintf(stderr, "%s\n", nbd_get_error());
        return 1;
    }
    printf("%llu\n", (unsigned long long)read_data(handle));
    nbd_close(handle);
    return 0;
}
