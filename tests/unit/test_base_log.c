/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holds the contract of setmov/base_log.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/base_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[64], path[128];

static int make_directory(void **state)
{
    (void)state;
    string_copy(directory, sizeof(directory), "/tmp/setmov-log.XXXXXX");
    string_format(path, sizeof(path), "%s/it", mkdtemp(directory));
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static int listen_at(const char *where)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(string_copy(address.sun_path, sizeof(address.sun_path), where));
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static const char *receive(int fd)
{
    static char text[1024];
    ssize_t length = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    assert_true(length > 0);
    text[length] = '\0';
    return text;
}

static void the_system_log_gets_priority_program_and_line(void **state)
{
    int fd = listen_at(path);
    struct log_targets targets = {.syslog = true, .syslog_socket = path};
    const char *text;
    char process[32];

    (void)state;
    log_line(&targets, "setmov-hook", LOG_ERR, "two\nlines");
    text = receive(fd);
    string_format(process, sizeof(process), " setmov-hook[%d]: two lines", (int)getpid());
    assert_memory_equal(text, "<27>", 4); /* daemon, error */
    assert_string_equal(text + strlen(text) - strlen(process), process);
    close(fd);
}

static void the_journal_gets_fields(void **state)
{
    int fd = listen_at(path);
    struct log_targets targets = {.journal = true, .journal_socket = path};
    const char *text;

    (void)state;
    log_line(&targets, "setmov-hook", LOG_NOTICE, "one\nPRIORITY=0");
    text = receive(fd);
    assert_non_null(strstr(text, "MESSAGE=one PRIORITY=0\n"));
    assert_non_null(strstr(text, "\nPRIORITY=5\n"));
    assert_non_null(strstr(text, "\nSYSLOG_IDENTIFIER=setmov-hook\n"));
    close(fd);
}

static void a_full_socket_is_not_waited_for(void **state)
{
    int fd = listen_at(path);
    struct log_targets targets = {.syslog = true, .syslog_socket = path};

    (void)state;
    for (int i = 0; i < 5000; i++)
        log_line(&targets, "setmov-hook", LOG_INFO, "nobody reads this");
    receive(fd);
    close(fd);
}

static void a_file_gets_a_line_behind_the_others(void **state)
{
    struct log_targets targets = {.file = path};
    struct file_buffer buffer = {0};
    struct stat status;
    char process[64];

    (void)state;
    umask(0);
    log_line(&targets, "setmov-hook", LOG_INFO, "first");
    log_line(&targets, "setmov-hook", LOG_INFO, "sec\x1bond");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_int_equal(file_read(AT_FDCWD, path, &buffer), 0);
    string_format(process, sizeof(process), " setmov-hook[%d]: sec ond\n", (int)getpid());
    assert_non_null(strstr(buffer.bytes, ": first\n2"));
    assert_string_equal(buffer.bytes + buffer.length - strlen(process), process);
    file_buffer_release(&buffer);
}

static void what_is_no_file_is_left_alone(void **state)
{
    struct log_targets targets = {.file = path, .syslog = true, .syslog_socket = "/nowhere"};
    char other[160];

    (void)state;
    string_format(other, sizeof(other), "%s/other", directory);
    assert_int_equal(symlink(other, path), 0);
    log_line(&targets, "setmov-hook", LOG_INFO, "through a link");
    assert_int_equal(access(other, F_OK), -1);
    unlink(path);
    /* Without a reader an open would wait. */
    assert_int_equal(mkfifo(path, 0600), 0);
    log_line(&targets, "setmov-hook", LOG_INFO, "into a pipe");
    targets.file = directory;
    log_line(&targets, "setmov-hook", LOG_INFO, "into a directory");
}

int main(void)
{
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(the_system_log_gets_priority_program_and_line),
        IN_DIRECTORY(the_journal_gets_fields),
        IN_DIRECTORY(a_full_socket_is_not_waited_for),
        IN_DIRECTORY(a_file_gets_a_line_behind_the_others),
        IN_DIRECTORY(what_is_no_file_is_left_alone),
    };

    return cmocka_run_group_tests_name("base_log", tests, NULL, NULL);
}
