/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans in memory, and the names of what belongs to one. */
#include "setmov/transfer_plan.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define NAME_MOST 100

static void image_release(struct transfer_image *image)
{
    free(image->path);
    free(image->format);
    free(image->settings);
    free(image->backing);
    free(image->backing_format);
    free(image->extents);
}

void transfer_plan_release(struct transfer_plan *plan)
{
    free(plan->vm_name);
    free(plan->donors);
    free(plan->parts);
    for (size_t i = 0; i < plan->image_count; i++)
        image_release(&plan->images[i]);
    free(plan->images);
    free(plan->hashes);
    *plan = (struct transfer_plan){0};
}

uint64_t transfer_plan_memory(const struct transfer_plan *plan)
{
    uint64_t bytes = (uint64_t)plan->hash_count * TRANSFER_HASH_BYTES;

    for (size_t i = 0; i < plan->image_count; i++)
        bytes += (uint64_t)plan->images[i].extent_count * sizeof(struct transfer_extent);
    return bytes;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool transfer_name_is_valid(const char *name)
{
    size_t length = strnlen(name, NAME_MOST + 1);

    if (length == 0 || length > NAME_MOST || !is_letter_or_digit(name[0]))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_letter_or_digit(name[i]) && name[i] != '-')
            return false;
    }
    return true;
}

void transfer_part_name(const uint8_t sha256[TRANSFER_HASH_BYTES],
                        char ret_name[TRANSFER_PART_NAME_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char *at = ret_name + strlen(TRANSFER_PART_PREFIX);

    (void)string_copy(ret_name, TRANSFER_PART_NAME_BYTES, TRANSFER_PART_PREFIX);
    for (size_t i = 0; i < TRANSFER_HASH_BYTES; i++) {
        *at++ = digits[sha256[i] >> 4];
        *at++ = digits[sha256[i] & 15];
    }
    *at = '\0';
}

bool transfer_part_name_parse(const char *name, uint8_t ret_sha256[TRANSFER_HASH_BYTES])
{
    uint8_t sha256[TRANSFER_HASH_BYTES];
    const char *at = name + strlen(TRANSFER_PART_PREFIX);

    if (strncmp(name, TRANSFER_PART_PREFIX, strlen(TRANSFER_PART_PREFIX)) != 0)
        return false;
    for (size_t i = 0; i < TRANSFER_HASH_BYTES; i++, at += 2) {
        int high = hexadecimal_digit(at[0]);
        int low = high < 0 ? -1 : hexadecimal_digit(at[1]);

        /* One name for each part: small letters. */
        if (low < 0 || isupper((unsigned char)at[0]) || isupper((unsigned char)at[1]))
            return false;
        sha256[i] = (uint8_t)(high << 4 | low);
    }
    if (*at != '\0')
        return false;
    memcpy(ret_sha256, sha256, sizeof(sha256));
    return true;
}

void transfer_sha256(const void *bytes, size_t length, uint8_t ret_sha256[TRANSFER_HASH_BYTES])
{
    struct digest_content content;

    digest_content_init(&content);
    digest_content_add(&content, bytes, length);
    digest_content_value(&content, ret_sha256);
}
