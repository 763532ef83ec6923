/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program `setmov`: a table of commands, --help and --version. */
#include "command.h"
#include "setmov/vm_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
};

static int command_help(int argc, char **argv);

static const struct command commands[] = {
    {"stat", "show what the host and its VMs use, live", command_stat},
    {"graph", "draw graphs of the host and its VMs from RRD files", command_graph},
    {"fingerprint", "read a disk image, write the fingerprint of its blocks", command_fingerprint},
    {"compare", "tell how much of a disk image is in others", command_compare},
    {"index", "keep fingerprints of all disk images of a host", command_index},
    {"sync", "read what disk images and VMs the other hosts have", command_sync},
    {"choose", "rank hosts by what a move of a VM or image would send", command_choose},
    {"migrate", "move a VM, and send only the blocks that are missing there", command_migrate},
    {"requests", "carry out moves that a hook asked for", command_requests},
    {"recover", "undo or finish migrations that were left in the middle", command_recover},
    {"gc", "remove what migrations left behind", command_gc},
    {"help", "print this help, or that of a command", command_help},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int print_help(void)
{
    printf("Usage: setmov COMMAND [OPTION]...\n"
           "       setmov --help | --version\n"
           "\n"
           "Metrics of a KVM host and of the virtual machines that run on it, and how much\n"
           "of their disk images is where already.\n"
           "\n"
           "Commands:\n");
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        printf("  %-13s%s\n", commands[i].name, commands[i].summary);
    printf("\n"
           "Options:\n"
           "  -h, --help     print this help and exit\n"
           "  -V, --version  print the version and exit\n"
           "\n"
           "'setmov COMMAND --help' describes a command.\n");
    return STATUS_OK;
}

static int command_help(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    if (argc > 2)
        return command_usage_error("help", "more than one command");
    const struct command *command = find_command(argv[1]);
    if (!command)
        return command_usage_error(NULL, "unknown command '%s'", argv[1]);
    if (command->run == command_help)
        return print_help();
    char option[] = "--help";
    return command->run(2, (char *[]){argv[1], option, NULL});
}

static int run(int argc, char **argv)
{
    if (argc < 2)
        return command_usage_error(NULL, "no command given");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("setmov %s\n", SETMOV_VERSION);
        return STATUS_OK;
    }
    if (argv[1][0] == '-')
        return command_usage_error(NULL, "unknown option '%s'", argv[1]);
    const struct command *command = find_command(argv[1]);
    if (!command)
        return command_usage_error(NULL, "unknown command '%s'", argv[1]);
    return command->run(argc - 1, argv + 1);
}

/* A file opened later must not become what a closed stdin, stdout or stderr was. */
static void hold_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            /* The wrong direction on purpose, so that use fails as if it were closed. */
            if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
                _exit(STATUS_FAILED);
}

int main(int argc, char **argv)
{
    hold_standard_descriptors();
    vm_peer_prepare();
    int status = run(argc, argv);
    bool threads_left = vm_peer_leave();
    /* A reader that went away is no failure of ours. */
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE && status == STATUS_OK)
        status = command_error(NULL, "cannot write to stdout: %s", strerror(errno ? errno : EIO));
    if (threads_left)
        _exit(status);
    return status;
}
