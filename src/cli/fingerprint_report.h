/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `setmov fingerprint` prints of a fingerprint file. */
#ifndef SETMOV_CLI_FINGERPRINT_REPORT_H
#define SETMOV_CLI_FINGERPRINT_REPORT_H

#include "setmov/fingerprint_file.h"

struct json_object;

struct fingerprint_report {
    const struct fingerprint_file *file;
    const char *path; /* of the fingerprint, as the user knows it */
    double seconds;   /* that reading the image took; NaN: it was not read */
    bool verified;    /* all of the fingerprint was checked */
    bool layers;      /* list them */
};

void fingerprint_report_print(const struct fingerprint_report *report);
struct json_object *fingerprint_report_json(const struct fingerprint_report *report);

#endif
