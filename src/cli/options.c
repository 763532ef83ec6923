/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options of a command from one table: parsing, --help, and clear errors. */
#include "command.h"
#include "utf8.h"

#include <getopt.h>
#include <stdarg.h>

#define OPTIONS_MAX 64

/* Columns that --help keeps within. */
#define HELP_COLUMNS 79

static const struct command_option help_option = {'h', "help", NULL, "print this help and exit"};

/* The i-th option of the table; --help comes behind the last. */
static const struct command_option *option_at(const struct command_syntax *syntax, size_t i)
{
    if (i < syntax->option_count)
        return &syntax->options[i];
    return i == syntax->option_count ? &help_option : NULL;
}

static const struct command_option *option_by_key(const struct command_syntax *syntax, int key)
{
    const struct command_option *option = NULL;
    for (size_t i = 0; (option = option_at(syntax, i)) != NULL; i++)
        if (option->key == key)
            return option;
    return NULL;
}

/* Puts the table into getopt_long's two forms. */
static void fill_getopt(const struct command_syntax *syntax, char *letters,
                        struct option *long_options)
{
    const struct command_option *option = NULL;
    char *letter = letters;
    *letter++ = ':'; /* tell a missing argument from an unknown option */
    for (size_t i = 0; i < OPTIONS_MAX && (option = option_at(syntax, i)) != NULL; i++) {
        *long_options++ = (struct option){
            option->name, option->argument ? required_argument : no_argument, NULL, option->key};
        if (option->key < OPTION_KEY_LONG) {
            *letter++ = (char)option->key;
            if (option->argument)
                *letter++ = ':';
        }
    }
    *letter = '\0';
    *long_options = (struct option){NULL, 0, NULL, 0};
}

int options_next(const struct command_syntax *syntax, int argc, char **argv,
                 const char **ret_argument)
{
    char letters[2 * OPTIONS_MAX + 2];
    struct option long_options[OPTIONS_MAX + 1];

    fill_getopt(syntax, letters, long_options);
    opterr = 0;
    int at = optind;
    int key = getopt_long(argc, argv, letters, long_options, NULL);
    /* getopt permutes, so the word that was at fault is the one just passed. */
    const char *word = optind > at && optind <= argc ? argv[optind - 1] : argv[at];

    switch (key) {
    case -1:
        return OPTIONS_END;
    case 'h':
        options_print_help(syntax);
        return OPTIONS_HELP;
    case ':':
        command_usage_error(syntax->name, "option '%s' needs an argument", word);
        return OPTIONS_ERROR;
    case '?':
        if (optopt != 0 && option_by_key(syntax, optopt) != NULL)
            command_usage_error(syntax->name, "option '%s' takes no argument", word);
        else if (optopt > 0 && optopt < OPTION_KEY_LONG)
            command_usage_error(syntax->name, "unknown option '-%c'", optopt);
        else
            command_usage_error(syntax->name, "unknown or ambiguous option '%s'", word);
        return OPTIONS_ERROR;
    default:
        *ret_argument = optarg;
        return key;
    }
}

/* Bytes of the text that go into a line of `room` columns: up to a blank, or one long word. */
static size_t line_length(const char *text, size_t room)
{
    size_t length = strcspn(text, "\n");
    if (length <= room)
        return length;
    for (length = room; length > 0 && text[length] != ' ';)
        length--;
    return length > 0 ? length : strcspn(text, " \n");
}

/* Prints the help text behind column `indent`, where the cursor stands now. */
static void print_indented(const char *help, int indent)
{
    for (;;) {
        size_t length = line_length(help, (size_t)(HELP_COLUMNS - indent));
        printf("%.*s\n", (int)length, help);
        if (help[length] == '\0')
            return;
        help += length + 1;
        printf("%*s", indent, "");
    }
}

void options_print_help(const struct command_syntax *syntax)
{
    enum { COLUMN = 24 };
    const struct command_option *option = NULL;

    printf("Usage: setmov %s %s\n\n%s\n\nOptions:\n", syntax->name, syntax->synopsis,
           syntax->description);
    for (size_t i = 0; (option = option_at(syntax, i)) != NULL; i++) {
        int width =
            option->key < OPTION_KEY_LONG ? printf("  -%c, ", option->key) : printf("      ");
        width += printf("--%s", option->name);
        if (option->argument)
            width += printf(" %s", option->argument);
        if (width > COLUMN - 2)
            printf("\n%*s", COLUMN, "");
        else
            printf("%*s", COLUMN - width, "");
        print_indented(option->help, COLUMN);
    }
}

bool options_number(const struct command_syntax *syntax, int key, const char *argument,
                    double minimum, double maximum, double *ret_value)
{
    const struct command_option *option = option_by_key(syntax, key);
    double value = 0;
    if (parse_double(argument, &value) < 0 || !(value >= minimum && value <= maximum)) {
        command_usage_error(syntax->name, "--%s: '%s' is not a number from %g to %g",
                            option ? option->name : "?", argument, minimum, maximum);
        return false;
    }
    *ret_value = value;
    return true;
}

bool options_count(const struct command_syntax *syntax, int key, const char *argument,
                   uint64_t *ret_value)
{
    const struct command_option *option = option_by_key(syntax, key);
    uint64_t value = 0;
    if (parse_u64(argument, &value) < 0) {
        command_usage_error(syntax->name, "--%s: '%s' is not a whole number from 0",
                            option ? option->name : "?", argument);
        return false;
    }
    *ret_value = value;
    return true;
}

/* Messages carry what the user typed and what peers said: no control characters. */
static void print_message(const char *command, const char *format, va_list arguments,
                          const char *hint)
{
    char message[1024];
    if (vsnprintf(message, sizeof(message), format, arguments) < 0)
        message[0] = '\0';
    text_make_one_line(message);
    utf8_make_fit(message);
    fprintf(stderr, "setmov%s%s: %s%s\n", command ? " " : "", command ? command : "", message,
            hint);
}

int command_error(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(command, format, arguments, "");
    va_end(arguments);
    return STATUS_FAILED;
}

int command_usage_error(const char *command, const char *format, ...)
{
    char hint[128];
    string_format(hint, sizeof(hint), " (see 'setmov %s%s--help')", command ? command : "",
                  command ? " " : "");
    va_list arguments;
    va_start(arguments, format);
    print_message(command, format, arguments, hint);
    va_end(arguments);
    return STATUS_USAGE;
}
