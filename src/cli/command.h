/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every file of the command line shares: the commands, the exit statuses,
 * and tables of options from which both parsing and --help come.
 *
 * A command prints its own errors, one line each, with command_error() or
 * command_usage_error(), and returns the program's exit status. It need not
 * flush stdout: main() does, and turns an error there into STATUS_FAILED.
 */
#ifndef SETMOV_CLI_COMMAND_H
#define SETMOV_CLI_COMMAND_H

#include "setmov/base.h"

enum {
    STATUS_OK = 0,
    STATUS_FAILED = 1, /* something went wrong at run time */
    STATUS_USAGE = 2,  /* unknown command or option, bad value */
};

/* ---- options ------------------------------------------------------------------ */

/* Keys of long options without a letter begin here; a letter is its own key. */
#define OPTION_KEY_LONG 256

struct command_option {
    int key;              /* 'c', or OPTION_KEY_LONG + n when it has no letter */
    const char *name;     /* "connect" */
    const char *argument; /* "URI"; NULL when it takes none */
    const char *help;     /* wrapped at words, and where there is a '\n'; no full stop at the end */
};

/* --help (-h) is understood and described for every command; tables leave it out. */
struct command_syntax {
    const char *name;        /* "stat" */
    const char *synopsis;    /* what follows the name: "[OPTION]..." */
    const char *description; /* a paragraph, lines of at most 79 columns */
    const struct command_option *options;
    size_t option_count;
};

enum {
    OPTIONS_END = -1,   /* no more options; optind is the first operand */
    OPTIONS_HELP = -2,  /* the help was printed: return STATUS_OK */
    OPTIONS_ERROR = -3, /* an error was printed: return STATUS_USAGE */
};

/*
 * The next option's key, with its argument in `ret_argument` (NULL: none), or
 * one of the three above. Call it until it is negative. argv[0] is the
 * command's name. Built on getopt_long, whose optind it leaves valid.
 */
int options_next(const struct command_syntax *syntax, int argc, char **argv,
                 const char **ret_argument);

/* Prints the syntax as --help does. */
void options_print_help(const struct command_syntax *syntax);

/*
 * The argument of option `key` as a number within the bounds. On failure the
 * error is printed and false returned: return STATUS_USAGE.
 */
bool options_number(const struct command_syntax *syntax, int key, const char *argument,
                    double minimum, double maximum, double *ret_value);
bool options_count(const struct command_syntax *syntax, int key, const char *argument,
                   uint64_t *ret_value);

/* ---- errors --------------------------------------------------------------------- */

/* Prints "setmov COMMAND: message" on stderr and returns STATUS_FAILED. */
int command_error(const char *command, const char *format, ...) PRINTF_LIKE(2, 3);

/* The same with a hint at --help; returns STATUS_USAGE. */
int command_usage_error(const char *command, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- the commands ---------------------------------------------------------------- */

/* argv[0] is the command's name. Each returns an exit status. */
int command_stat(int argc, char **argv);
int command_graph(int argc, char **argv);
int command_fingerprint(int argc, char **argv);
int command_compare(int argc, char **argv);
int command_index(int argc, char **argv);
int command_choose(int argc, char **argv);
int command_sync(int argc, char **argv);
int command_migrate(int argc, char **argv);
int command_requests(int argc, char **argv);
int command_recover(int argc, char **argv);
int command_gc(int argc, char **argv);

#endif
