/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of commands that a timer starts: for who watches, and for the log (log of [setmov]). */
#ifndef SETMOV_CLI_LOGGED_H
#define SETMOV_CLI_LOGGED_H

#include "setmov/base_log.h"
#include "setmov/config.h"

/* What all of them are called in the log. */
#define LOGGED_PROGRAM "setmov"

/* One line, made fit, to the log; and to stdout, unless that is for JSON. */
void logged_line(const struct config *config, int priority, bool to_stdout, const char *format, ...)
    PRINTF_LIKE(4, 5);

/*
 * What came of one of several things: `name`: `text`. Printed, unless that is for JSON, and
 * to the log, unless nothing was done but to list it.
 */
void logged_event(const struct config *config, int priority, bool list, bool json, const char *name,
                  const char *text);

/* An error that ends the command: to the log and, as command_error(), to stderr. STATUS_FAILED. */
int logged_error(const struct config *config, const char *command, const char *text);

#endif
