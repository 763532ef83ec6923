/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines to where they are wanted. Not by syslog(3), which waits as long as
 * the log's reader does: who is asked whether a migration may begin cannot.
 */
#include "setmov/base_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSLOG_SOCKET  "/dev/log"
#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define FILE_MODE      (S_IRUSR | S_IWUSR | S_IRGRP)

static void send_datagram(const char *path, const char *bytes, size_t length)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || !string_copy(address.sun_path, sizeof(address.sun_path), path))
        return;
    if (sendto(fd, bytes, length, MSG_NOSIGNAL, (const struct sockaddr *)&address,
               sizeof(address)) < 0)
        return; /* it is lost */
}

/* The present time by a format of strftime(). */
static void put_time(const char *format, char *buffer, size_t size)
{
    time_t now = time(NULL);
    struct tm local;

    if (localtime_r(&now, &local) == NULL || strftime(buffer, size, format, &local) == 0)
        buffer[0] = '\0';
}

static void to_syslog(const char *path, const char *program, int priority, const char *line)
{
    CLEANUP(cleanup_free) char *text = NULL;
    char stamp[32];

    put_time("%b %e %T", stamp, sizeof(stamp));
    if (asprintf(&text, "<%d>%s %s[%d]: %s", LOG_DAEMON | priority, stamp, program, (int)getpid(),
                 line) < 0)
        text = NULL;
    else
        send_datagram(path, text, strlen(text));
}

/* The journal's own protocol: a field a line. */
static void to_journal(const char *path, const char *program, int priority, const char *line)
{
    CLEANUP(cleanup_free) char *text = NULL;

    if (asprintf(&text,
                 "MESSAGE=%s\nPRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=%s\n"
                 "SYSLOG_PID=%d\n",
                 line, priority, LOG_DAEMON >> 3, program, (int)getpid()) < 0)
        text = NULL;
    else
        send_datagram(path, text, strlen(text));
}

static void to_file(const char *path, const char *program, const char *line)
{
    /* Not to wait at a FIFO that nobody reads. */
    CLEANUP(cleanup_close)
    int fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
             FILE_MODE);
    CLEANUP(cleanup_free) char *text = NULL;
    struct stat status;
    char stamp[32];

    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return;
    put_time("%FT%T%z", stamp, sizeof(stamp));
    if (asprintf(&text, "%s %s[%d]: %s\n", stamp, program, (int)getpid(), line) < 0) {
        text = NULL;
        return;
    }
    /* In one piece, so that lines of several processes do not mix. */
    if (write(fd, text, strlen(text)) < 0)
        return; /* it is lost */
}

void log_line(const struct log_targets *targets, const char *program, int priority,
              const char *line)
{
    CLEANUP(cleanup_free) char *fit = strdup(line);

    if (fit == NULL)
        return;
    text_make_one_line(fit);
    if (targets->syslog)
        to_syslog(targets->syslog_socket != NULL ? targets->syslog_socket : SYSLOG_SOCKET, program,
                  priority, fit);
    if (targets->journal)
        to_journal(targets->journal_socket != NULL ? targets->journal_socket : JOURNAL_SOCKET,
                   program, priority, fit);
    if (targets->file != NULL)
        to_file(targets->file, program, fit);
}
