/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hosts of `setmov choose`: their names and directories, and what is known of them. */
#include "choose.h"

#include <errno.h>
#include <fcntl.h>

/* So many problems of a host are kept word for word. */
#define MOST_PROBLEMS 1000

static void host_release(struct choose_host *host)
{
    free(host->name);
    free(host->directory);
    free(host->unusable);
    free(host->donor);
    for (size_t i = 0; i < host->note_count; i++)
        free(host->notes[i]);
    for (size_t i = 0; i < host->problem_count; i++)
        free(host->problems[i]);
    free(host->problems);
}

void choose_hosts_release(struct choose_hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++)
        host_release(&hosts->hosts[i]);
    free(hosts->hosts);
    *hosts = (struct choose_hosts){0};
}

/* ---- from text ------------------------------------------------------------------ */

static int add(struct choose_hosts *hosts, struct text name, struct text directory, size_t line,
               struct error *err)
{
    struct choose_host host = {.line = line};

    if (text_length(name) == 0)
        return error_set(err, -EINVAL, "'=%.*s' has no name in front of the '='",
                         (int)text_length(directory), directory.at);
    if (text_length(directory) == 0)
        return error_set(err, -EINVAL, "'%.*s=' has no directory behind the '='",
                         (int)text_length(name), name.at);
    if (hosts->count == CHOOSE_MOST_HOSTS)
        return error_set(err, -EINVAL, "more than %d hosts", CHOOSE_MOST_HOSTS);
    if (array_reserve(&hosts->hosts, &hosts->capacity, hosts->count + 1, sizeof(host)) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    host.name = strndup(name.at, text_length(name));
    host.directory = strndup(directory.at, text_length(directory));
    host.facts.name = host.name;
    if (host.name == NULL || host.directory == NULL) {
        host_release(&host);
        return error_set(err, -ENOMEM, "out of memory");
    }
    hosts->hosts[hosts->count++] = host;
    return 0;
}

static int add_text(struct choose_hosts *hosts, struct text text, size_t line, struct error *err)
{
    const char *equals = memchr(text.at, '=', text_length(text));

    if (equals == NULL)
        return error_set(err, -EINVAL, "'%.*s' is not NAME=DIR", (int)text_length(text), text.at);
    return add(hosts, text_of(text.at, (size_t)(equals - text.at)),
               text_of(equals + 1, (size_t)(text.end - equals - 1)), line, err);
}

int choose_hosts_add(struct choose_hosts *hosts, const char *assignment, size_t line,
                     struct error *err)
{
    return add_text(hosts, text_of(assignment, strlen(assignment)), line, err);
}

static bool is_blank(char character)
{
    return character == ' ' || character == '\t' || character == '\r';
}

static struct text without_blanks(struct text text)
{
    while (text.at < text.end && is_blank(*text.at))
        text.at++;
    while (text.at < text.end && is_blank(text.end[-1]))
        text.end--;
    return text;
}

static int add_line(struct choose_hosts *hosts, struct text line, size_t number, struct error *err)
{
    line = without_blanks(line);
    if (text_length(line) == 0 || *line.at == '#')
        return 0;
    if (memchr(line.at, '\0', text_length(line)) != NULL)
        return error_set(err, -EINVAL, "a NUL byte");
    return add_text(hosts, line, number, err);
}

int choose_hosts_read(struct choose_hosts *hosts, const char *path, struct error *err)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {0};
    int rc = file_read(AT_FDCWD, path, &buffer);
    struct text text, line;

    if (rc == -EINVAL)
        return error_set(err, -EIO, "%s is not a regular file", path);
    if (rc < 0)
        return error_set(err, rc, "%s: %s", path, strerror(-rc));
    text = text_of(buffer.bytes, buffer.length);
    for (size_t number = 1; text_next_line(&text, &line); number++) {
        rc = add_line(hosts, line, number, err);
        if (rc < 0)
            return error_prefix(err, rc, "%s:%zu", path, number);
    }
    return 0;
}

/* ---- names ------------------------------------------------------------------------ */

static int by_name_then_place(const void *left, const void *right)
{
    const struct choose_host *l = *(const struct choose_host *const *)left;
    const struct choose_host *r = *(const struct choose_host *const *)right;
    int order = strcmp(l->name, r->name);

    return order != 0 ? order : (l > r) - (l < r);
}

int choose_hosts_check(const struct choose_hosts *hosts, const char *hosts_file, struct error *err)
{
    CLEANUP(cleanup_free)
    const struct choose_host **sorted = calloc(hosts->count + 1, sizeof(*sorted));

    if (sorted == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < hosts->count; i++)
        sorted[i] = &hosts->hosts[i];
    qsort(sorted, hosts->count, sizeof(*sorted), by_name_then_place);
    for (size_t i = 1; i < hosts->count; i++) {
        size_t line = sorted[i]->line > 0 ? sorted[i]->line : sorted[i - 1]->line;

        if (strcmp(sorted[i - 1]->name, sorted[i]->name) != 0)
            continue;
        if (line > 0)
            return error_set(err, -EINVAL, "%s:%zu: there is another host '%s'", hosts_file, line,
                             sorted[i]->name);
        return error_set(err, -EINVAL, "--host: there are two hosts '%s'", sorted[i]->name);
    }
    return 0;
}

/* ---- what is known --------------------------------------------------------------- */

int choose_host_set_unusable(struct choose_host *host, const char *why)
{
    free(host->unusable);
    host->facts.unusable = host->unusable = strdup(why);
    return host->unusable != NULL ? 0 : -ENOMEM;
}

/* "WORDS: TEXT", of any length. */
static int set_unusable_by(struct choose_host *host, const char *words, const char *text)
{
    size_t size = strlen(words) + strlen(text) + 3;
    CLEANUP(cleanup_free) char *why = malloc(size);

    if (why == NULL)
        return -ENOMEM;
    string_format(why, size, "%s: %s", words, text);
    return choose_host_set_unusable(host, why);
}

int choose_host_set_unreadable(struct choose_host *host, int code)
{
    char words[128];

    string_format(words, sizeof(words), "%s", strerror(-code));
    return set_unusable_by(host, words, host->directory);
}

int choose_host_unusable_by_problem(struct choose_host *host)
{
    return set_unusable_by(host, "nothing of what it holds can be used", host->problems[0]);
}

int choose_host_set_donor(struct choose_host *host, const char *path,
                          const struct similarity_figures *figures)
{
    free(host->donor);
    host->facts.donor = host->donor = strdup(path);
    host->facts.donor_figures = *figures;
    return host->donor != NULL ? 0 : -ENOMEM;
}

int choose_host_add_note(struct choose_host *host, const char *note)
{
    char *copy;

    if (host->note_count == ARRAY_LENGTH(host->notes))
        return 0;
    copy = strdup(note);
    if (copy == NULL)
        return -ENOMEM;
    host->facts.notes[host->note_count] = host->notes[host->note_count] = copy;
    host->note_count++;
    return 0;
}

int choose_host_add_problem(struct choose_host *host, const char *path, const struct error *error)
{
    size_t size = strlen(path) + sizeof(error->text) + 3;
    char *text;

    if (host->problem_count >= MOST_PROBLEMS) {
        host->problems_left_out++;
        return 0;
    }
    if (array_reserve(&host->problems, &host->problem_capacity, host->problem_count + 1,
                      sizeof(*host->problems)) < 0)
        return -ENOMEM;
    text = malloc(size);
    if (text == NULL)
        return -ENOMEM;
    /* Most messages name the path themselves. */
    if (strstr(error->text, path) != NULL)
        string_copy(text, size, error->text);
    else
        string_format(text, size, "%s: %s", path, error->text);
    host->problems[host->problem_count++] = text;
    return 0;
}
