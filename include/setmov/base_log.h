/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines of programs that nobody watches. Effects: sends to the system's log
 * and journal, adds to a file. Never waits for a socket, and never fails: what
 * cannot be logged is lost.
 */
#ifndef SETMOV_BASE_LOG_H
#define SETMOV_BASE_LOG_H

#include <syslog.h> /* LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO */

#include "setmov/base.h"

/* Where to, each by itself; nowhere: all false and NULL. */
struct log_targets {
    bool syslog, journal;
    const char *file; /* absolute path: made with mode 0640; never through a symbolic link */
    const char *syslog_socket, *journal_socket; /* NULL: the system's own, /dev/log ... */
};

/*
 * One line, made fit (text_make_one_line()); `program` stands in front of it
 * ("setmov-hook"). A file gets it in one write, behind the time.
 */
void log_line(const struct log_targets *targets, const char *program, int priority,
              const char *line);

#endif
