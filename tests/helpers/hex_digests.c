/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints the digests of a fingerprint file in hexadecimal, a line each, for
 * tools that compare lines.
 *
 *   hex_digests FINGERPRINT
 */
#include "setmov/fingerprint_file.h"

int main(int argc, char **argv)
{
    static const char digits[] = "0123456789abcdef";
    struct fingerprint_file *file;
    struct error err = {0};

    if (argc != 2)
        return 2;
    if (fingerprint_file_open(argv[1], FINGERPRINT_PART_DIGESTS, false, &file, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (uint64_t i = 0; i < file->view.totals.distinct; i++) {
        char line[2 * DIGEST_BYTES + 1];

        for (size_t byte = 0; byte < DIGEST_BYTES; byte++) {
            line[2 * byte] = digits[file->view.digests[i].bytes[byte] >> 4];
            line[2 * byte + 1] = digits[file->view.digests[i].bytes[byte] & 15];
        }
        line[2 * DIGEST_BYTES] = '\n';
        fwrite(line, sizeof(line), 1, stdout);
    }
    fingerprint_file_close(file);
    return fflush(stdout) == 0 ? 0 : 1;
}
