/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record by which the hook tells how far it is. */
#include "setmov/base_bytes.h"
#include "setmov/fingerprint.h"
#include "setmov/transfer_plan.h"

#include <errno.h>

#define MAGIC       "SETMOVPR" /* 8 bytes */
#define VERSION     1
#define AT_VERSION  8
#define AT_PHASE    12
#define AT_DONE     16
#define AT_TOTAL    24
#define AT_FAILED   32
#define AT_MESSAGE  40
#define AT_CHECKSUM (TRANSFER_PROGRESS_BYTES - 8)

void transfer_progress_encode(const struct transfer_progress *progress,
                              uint8_t ret_bytes[TRANSFER_PROGRESS_BYTES])
{
    uint8_t *at = ret_bytes;

    memset(at, 0, TRANSFER_PROGRESS_BYTES);
    (void)string_copy((char *)at, sizeof(MAGIC), MAGIC);
    put_u32(at + AT_VERSION, VERSION);
    put_u32(at + AT_PHASE, (uint32_t)progress->phase);
    put_u64(at + AT_DONE, progress->bytes_done);
    put_u64(at + AT_TOTAL, progress->bytes_total);
    put_u64(at + AT_FAILED, progress->failed);
    (void)string_copy((char *)at + AT_MESSAGE, sizeof(progress->message), progress->message);
    put_u64(at + AT_CHECKSUM, fingerprint_checksum(at, AT_CHECKSUM));
}

int transfer_progress_decode(const void *bytes, size_t length,
                             struct transfer_progress *ret_progress)
{
    struct transfer_progress progress = {0};
    const uint8_t *at = bytes;
    uint32_t phase;

    if (length != TRANSFER_PROGRESS_BYTES || memcmp(at, MAGIC, strlen(MAGIC)) != 0 ||
        get_u32(at + AT_VERSION) != VERSION ||
        get_u64(at + AT_CHECKSUM) != fingerprint_checksum(at, AT_CHECKSUM))
        return -EINVAL;
    phase = get_u32(at + AT_PHASE);
    if (phase > TRANSFER_REFUSED || memchr(at + AT_MESSAGE, 0, sizeof(progress.message)) == NULL)
        return -EINVAL;
    progress.phase = (enum transfer_phase)phase;
    progress.bytes_done = get_u64(at + AT_DONE);
    progress.bytes_total = get_u64(at + AT_TOTAL);
    progress.failed = get_u64(at + AT_FAILED);
    memcpy(progress.message, at + AT_MESSAGE, sizeof(progress.message));
    /* It is printed. */
    text_make_one_line(progress.message);
    *ret_progress = progress;
    return 0;
}
