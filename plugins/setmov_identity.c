/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How VMs and devices are called in collectd: see setmov_identity.h. */
#include "setmov_identity.h"

#include "setmov/vm.h"

#define UUID_SHORT_BYTES 8
#define FORMATTED_BYTES  (2 * VM_NAME_BYTES + VM_UUID_TEXT_BYTES + 8)

/*
 * Names come from peers and guests' owners, and become directories and log
 * lines: what is no character that can be seen, or a slash, becomes '_'.
 */
static void replace_unsafe(char *text)
{
    char *to = text;
    size_t length;

    for (const char *from = text; *from != '\0'; from += length) {
        uint32_t character = 0;
        bool fit;

        length = utf8_decode(from, &character);
        fit = length > 0 && character != '/' && !utf8_is_unfit(character);
        if (length == 0)
            length = 1;
        if (fit) {
            memmove(to, from, length);
            to += length;
        } else {
            *to++ = '_';
        }
    }
    *to = '\0';
    if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        text[0] = '_';
}

/* The longest piece of at most `length` bytes that ends between two characters. */
static size_t whole_characters(const char *text, size_t length)
{
    while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    return length;
}

/* Makes room for "-SUFFIX" behind the text and puts it there. */
static void append_suffix(char text[DATA_MAX_NAME_LEN], const char *suffix, size_t suffix_bytes)
{
    size_t length = strlen(text);
    size_t room = DATA_MAX_NAME_LEN - 2 - suffix_bytes;

    if (length > room)
        length = whole_characters(text, room);
    string_format(text + length, DATA_MAX_NAME_LEN - length, "-%.*s", (int)suffix_bytes, suffix);
}

static void format_part(const struct identity_format *format, const char *hostname,
                        const char *name, const char *uuid, char ret_part[DATA_MAX_NAME_LEN])
{
    char text[FORMATTED_BYTES] = "";
    size_t length = 0;

    for (unsigned i = 0; i < format->count; i++) {
        const char *field = format->fields[i] == IDENTITY_NAME   ? name
                            : format->fields[i] == IDENTITY_UUID ? uuid
                                                                 : hostname;

        string_format(text + length, sizeof(text) - length, "%s%s", i > 0 ? ":" : "", field);
        length += strlen(text + length);
    }
    replace_unsafe(text);
    if (!string_copy(ret_part, DATA_MAX_NAME_LEN, text))
        append_suffix(ret_part, uuid, strnlen(uuid, UUID_SHORT_BYTES));
}

void identity_of_vm(const struct setmov_config *config, const char *hostname, const char *name,
                    const char *uuid, struct identity *ret_identity)
{
    format_part(&config->hostname_format, hostname, name, uuid, ret_identity->host);
    format_part(&config->plugin_instance_format, hostname, name, uuid,
                ret_identity->plugin_instance);
}

void identity_distinguish(struct identity *identity, const char *uuid, size_t uuid_bytes)
{
    append_suffix(identity->plugin_instance[0] != '\0' ? identity->plugin_instance : identity->host,
                  uuid, strnlen(uuid, uuid_bytes));
}

bool identity_equals(const struct identity *one, const struct identity *other)
{
    return strcmp(one->host, other->host) == 0 &&
           strcmp(one->plugin_instance, other->plugin_instance) == 0;
}

size_t identity_device_label(const char *device, bool basename, char label[DATA_MAX_NAME_LEN])
{
    const char *text = device;
    const char *last_slash = strrchr(device, '/');

    if (basename && last_slash != NULL && last_slash[1] != '\0')
        text = last_slash + 1;
    while (*text == '/')
        text++;
    if (!string_copy(label, DATA_MAX_NAME_LEN, text)) {
        char hash[9];

        string_format(hash, sizeof(hash), "%08x", hash_bytes(device, strlen(device)));
        append_suffix(label, hash, sizeof(hash) - 1);
    }
    replace_unsafe(label);
    return strlen(label);
}
