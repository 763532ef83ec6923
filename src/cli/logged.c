/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of commands that a timer starts: for who watches, and for the log. */
#include "logged.h"
#include "command.h"

#include <stdarg.h>

static void to_log(const struct config *config, int priority, const char *line)
{
    const struct config_log *log = &config->setmov.log;
    const struct log_targets targets = {
        .syslog = log->syslog, .journal = log->journal, .file = log->file};

    log_line(&targets, LOGGED_PROGRAM, priority, line);
}

void logged_line(const struct config *config, int priority, bool to_stdout, const char *format, ...)
{
    char line[4096];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    text_make_one_line(line);
    if (to_stdout)
        puts(line);
    to_log(config, priority, line);
}

void logged_event(const struct config *config, int priority, bool list, bool json, const char *name,
                  const char *text)
{
    char line[4096];

    string_format(line, sizeof(line), "%s: %s", name, text);
    text_make_one_line(line);
    if (!list)
        to_log(config, priority, line);
    if (!json)
        puts(line);
    /* What comes next may take long; who watches sees what was before. */
    fflush(stdout);
}

int logged_error(const struct config *config, const char *command, const char *text)
{
    char line[1024];

    string_format(line, sizeof(line), "%s: %s", command, text);
    text_make_one_line(line);
    to_log(config, LOG_ERR, line);
    return command_error(command, "%s", text);
}
