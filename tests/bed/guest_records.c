// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The part of the test guest that keeps writing: on a disk whose last 4 KiB say
 * so (guest_disk.py makes and checks them), numbered records go round a ring of
 * slots, each synced before the next, so that a reader can tell later that
 * nothing was lost and nothing is torn. Goes on behind the last one after a boot.
 */
#define _GNU_SOURCE 1
#include "guest_records.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK_BYTES  4096
#define SECTOR_BYTES 512
#define WORDS        ((SECTOR_BYTES - 24) / 4)

struct sector {
    char magic[8];
    uint64_t number;
    uint32_t index;
    uint32_t filling[WORDS];
    uint32_t checksum; /* CRC-32 of all before it */
} __attribute__((packed));
_Static_assert(sizeof(struct sector) == SECTOR_BYTES, "a record has whole sectors");

#define SECTORS (BLOCK_BYTES / SECTOR_BYTES)

struct ring {
    int fd;
    uint64_t offset;
    unsigned slots;
    unsigned stride;
    unsigned rate;
};

/* What the writing process and the one that obeys commands share. */
struct shared {
    _Atomic uint64_t synced;
    _Atomic bool stop;
    _Atomic bool stopped;
    _Atomic int failed; /* errno */
};

static struct shared *shared;

static uint32_t crc32(const void *data, size_t bytes)
{
    uint32_t crc = UINT32_MAX;
    const unsigned char *byte = data;
    while (bytes-- > 0) {
        crc ^= *byte++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    return ~crc;
}

static off_t place_of(const struct ring *ring, uint64_t number)
{
    return (off_t)(ring->offset + (number - 1) % ring->slots * ring->stride);
}

/* The disk's label; false when the disk has none. */
static bool read_label(struct ring *ring, char *block)
{
    uint64_t bytes = 0;
    if (ioctl(ring->fd, BLKGETSIZE64, &bytes) != 0 || bytes < BLOCK_BYTES ||
        pread(ring->fd, block, BLOCK_BYTES, (off_t)(bytes - BLOCK_BYTES)) != BLOCK_BYTES)
        return false;
    block[BLOCK_BYTES - 1] = '\0';
    return sscanf(block,
                  "setmov test guest: records at %" SCNu64 ", %u slots, %u apart, %u a second",
                  &ring->offset, &ring->slots, &ring->stride, &ring->rate) == 4 &&
           ring->slots > 0 && ring->rate > 0;
}

/* The newest whole record that is there. */
static uint64_t last_record(const struct ring *ring, struct sector *record)
{
    uint64_t last = 0;
    for (unsigned slot = 0; slot < ring->slots; slot++) {
        uint64_t number = 0;
        if (pread(ring->fd, record, BLOCK_BYTES, place_of(ring, slot + 1)) == BLOCK_BYTES)
            number = record[0].number;
        for (unsigned i = 0; i < SECTORS; i++) {
            if (memcmp(record[i].magic, "BEDRECRD", 8) != 0 || record[i].number != number)
                number = 0;
        }
        if (number > last)
            last = number;
    }
    return last;
}

static void fill_record(struct sector *record, uint64_t number)
{
    uint64_t state = number * 0x9e3779b97f4a7c15 + 1;
    for (uint32_t i = 0; i < SECTORS; i++) {
        memcpy(record[i].magic, "BEDRECRD", 8);
        record[i].number = number;
        record[i].index = i;
        for (unsigned word = 0; word < WORDS; word++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            record[i].filling[word] = (uint32_t)state;
        }
        record[i].checksum = crc32(&record[i], offsetof(struct sector, checksum));
    }
}

static void keep_writing(const struct ring *ring, struct sector *record)
{
    uint64_t number = atomic_load(&shared->synced);
    while (!atomic_load(&shared->stop)) {
        fill_record(record, ++number);
        if (pwrite(ring->fd, record, BLOCK_BYTES, place_of(ring, number)) != BLOCK_BYTES ||
            fdatasync(ring->fd) != 0) {
            atomic_store(&shared->failed, errno != 0 ? errno : EIO);
            break;
        }
        atomic_store(&shared->synced, number);
        usleep(1000000 / ring->rate);
    }
    atomic_store(&shared->stopped, true);
}

static void *shared_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void records_start(const char *device)
{
    struct ring ring = {.fd = open(device, O_RDWR | O_DIRECT | O_CLOEXEC)};
    void *block = shared_memory(BLOCK_BYTES); /* O_DIRECT wants whole pages */
    if (ring.fd >= 0 && block != NULL && read_label(&ring, block)) {
        shared = shared_memory(sizeof(*shared));
        if (shared != NULL) {
            atomic_store(&shared->synced, last_record(&ring, block));
            if (fork() == 0) {
                keep_writing(&ring, block);
                _exit(0);
            }
        }
    }
    if (block != NULL)
        munmap(block, BLOCK_BYTES);
    if (ring.fd >= 0)
        close(ring.fd);
}

int records_synced(bool stop, uint64_t *ret_number)
{
    if (shared == NULL)
        return -ENODATA;
    if (stop) {
        atomic_store(&shared->stop, true);
        while (!atomic_load(&shared->stopped))
            usleep(5000);
    }
    if (atomic_load(&shared->failed) != 0)
        return -atomic_load(&shared->failed);
    *ret_number = atomic_load(&shared->synced);
    return 0;
}
