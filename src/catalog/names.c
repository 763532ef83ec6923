/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of fingerprints in an index directory, and their kinds. Pure. */
#include "catalog/internal.h"
#include "setmov/catalog_manifest.h"
#include "setmov/catalog_request.h"

#define HASH_DIGITS    (CATALOG_HASH_BYTES - 1)
#define KEY_ID_DIGITS  16
#define RANDOM_LETTERS 6 /* mkstemp's */

static const char hexadecimal[] = "0123456789abcdef";

static void put_hexadecimal(const uint8_t *bytes, size_t count, char *ret_text)
{
    for (size_t i = 0; i < count; i++) {
        *ret_text++ = hexadecimal[bytes[i] >> 4];
        *ret_text++ = hexadecimal[bytes[i] & 15];
    }
    *ret_text = '\0';
}

/* Takes 2 * `count` digits, in lower case as they are written. */
static bool take_hexadecimal(const char **text, size_t count, uint8_t *ret_bytes)
{
    for (size_t i = 0; i < 2 * count; i++) {
        const char *digit = (*text)[i] != '\0' ? strchr(hexadecimal, (*text)[i]) : NULL;

        if (digit == NULL)
            return false;
        ret_bytes[i / 2] = (uint8_t)(ret_bytes[i / 2] << 4 | (digit - hexadecimal));
    }
    *text += 2 * count;
    return true;
}

static bool take_word(const char **text, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(*text, word, length) != 0)
        return false;
    *text += length;
    return true;
}

void catalog_hash(const char *path, char ret_hash[CATALOG_HASH_BYTES])
{
    struct digest_content content;
    uint8_t value[32];

    digest_content_init(&content);
    digest_content_add(&content, path, strlen(path));
    digest_content_value(&content, value);
    put_hexadecimal(value, HASH_DIGITS / 2, ret_hash);
}

/* "sha256-4096", "keyed-KEYID-4096" */
static void put_kind(const struct catalog_kind *kind, char ret_text[CATALOG_NAME_BYTES])
{
    char key[KEY_ID_DIGITS + 1] = "";
    const char *digest = "sha256";

    if (kind->kind == DIGEST_MD5)
        digest = "md5";
    if (kind->kind == DIGEST_KEYED_SHA256) {
        digest = "keyed-";
        put_hexadecimal(kind->key_id, sizeof(kind->key_id), key);
    }
    string_format(ret_text, CATALOG_NAME_BYTES, "%s%s-%u", digest, key, kind->block_size);
}

void catalog_name_make(const char *hash, const struct catalog_kind *kind,
                       char ret_name[CATALOG_NAME_BYTES])
{
    char text[CATALOG_NAME_BYTES];

    put_kind(kind, text);
    string_format(ret_name, CATALOG_NAME_BYTES, "%s.%s%s", hash, text, CATALOG_SUFFIX);
}

void catalog_merged_name(const struct catalog_kind *kind, char ret_name[CATALOG_NAME_BYTES])
{
    char text[CATALOG_NAME_BYTES];

    put_kind(kind, text);
    string_format(ret_name, CATALOG_NAME_BYTES, "%s%s", text, CATALOG_MERGED_SUFFIX);
}

static bool take_block_size(const char **text, uint32_t *ret_size)
{
    char number[8];
    size_t length = strspn(*text, "0123456789");
    uint64_t size;

    if (!text_copy(text_of(*text, length), number, sizeof(number)) ||
        parse_u64(number, &size) < 0 || number[0] == '0')
        return false;
    if (size < DIGEST_BLOCK_MIN || size > DIGEST_BLOCK_MAX || (size & (size - 1)) != 0)
        return false;
    *text += length;
    *ret_size = (uint32_t)size;
    return true;
}

static bool take_name(const char **text, char ret_hash[CATALOG_HASH_BYTES],
                      struct catalog_kind *ret_kind)
{
    struct catalog_kind kind = {.kind = 0};
    uint8_t hash[HASH_DIGITS / 2] = {0};

    if (!take_hexadecimal(text, sizeof(hash), hash) || !take_word(text, "."))
        return false;
    if (take_word(text, "md5-"))
        kind.kind = DIGEST_MD5;
    else if (take_word(text, "sha256-"))
        kind.kind = DIGEST_SHA256;
    else if (take_word(text, "keyed-") &&
             take_hexadecimal(text, sizeof(kind.key_id), kind.key_id) && take_word(text, "-"))
        kind.kind = DIGEST_KEYED_SHA256;
    else
        return false;
    if (!take_block_size(text, &kind.block_size) || !take_word(text, CATALOG_SUFFIX))
        return false;
    put_hexadecimal(hash, sizeof(hash), ret_hash);
    *ret_kind = kind;
    return true;
}

bool catalog_name_parse(const char *name, char ret_hash[CATALOG_HASH_BYTES],
                        struct catalog_kind *ret_kind)
{
    char hash[CATALOG_HASH_BYTES];
    struct catalog_kind kind;

    if (!take_name(&name, hash, &kind) || *name != '\0')
        return false;
    memcpy(ret_hash, hash, sizeof(hash));
    *ret_kind = kind;
    return true;
}

bool catalog_name_is_fingerprint(const char *name)
{
    return name[0] != '.' && string_ends_with(name, CATALOG_SUFFIX);
}

bool catalog_name_is_told(const char *name)
{
    return strcmp(name, CATALOG_MANIFEST_NAME) == 0 ||
           (name[0] != '.' && (string_ends_with(name, CATALOG_REQUEST_SUFFIX) ||
                               string_ends_with(name, CATALOG_LEASE_SUFFIX)));
}

bool catalog_name_is_leftover(const char *name)
{
    char hash[CATALOG_HASH_BYTES];
    struct catalog_kind kind;

    if (!take_word(&name, ".") || !take_name(&name, hash, &kind) || !take_word(&name, "."))
        return false;
    if (strlen(name) < RANDOM_LETTERS)
        return false;
    return strcmp(name + RANDOM_LETTERS, ".tmp") == 0;
}

bool catalog_kind_fits(const struct catalog_kind *want, const struct catalog_kind *have)
{
    if (want->any)
        return true;
    if (want->kind != have->kind || (want->block_size != 0 && want->block_size != have->block_size))
        return false;
    return want->kind != DIGEST_KEYED_SHA256 ||
           memcmp(want->key_id, have->key_id, sizeof(want->key_id)) == 0;
}

struct catalog_kind catalog_kind_of_view(const struct fingerprint_view *view)
{
    struct catalog_kind kind = {.kind = view->kind, .block_size = view->block_size};

    memcpy(kind.key_id, view->key_id, sizeof(kind.key_id));
    return kind;
}

struct catalog_kind catalog_kind_of_wish(const struct fingerprint_wish *wish)
{
    struct catalog_kind kind = {.kind = wish->kind, .block_size = wish->block_size};

    if (wish->kind == DIGEST_KEYED_SHA256 && wish->key != NULL)
        fingerprint_key_id(wish->key, kind.key_id);
    return kind;
}
