/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov stat`: what the host and its VMs use, sample by sample. */
#include "stat.h"
#include "command.h"
#include "stat_stop.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* ---- options ------------------------------------------------------------------------------ */

enum {
    KEY_PROC = OPTION_KEY_LONG,
    KEY_SYS,
    KEY_DEADLINE,
    KEY_OVERHEAD,
    KEY_NO_VMS,
    KEY_NO_KERNEL,
};

/* The default deadline is no longer, however long the interval. */
#define DEADLINE_MOST_S 5

static const struct command_option option_table[] = {
    {'c', "connect", "URI",
     "take VMs from this libvirt connection (default: libvirt's "
     "own; the host alone where that is not reachable)"},
    {KEY_NO_VMS, "no-vms", NULL, "show the host only, do not ask libvirt"},
    {'i', "interval", "S", "seconds from sample to sample (default: 1)"},
    {'n', "count", "N", "end after N samples (default: 0, until interrupted)"},
    {'j', "json", NULL, "print one JSON object a line for each sample"},
    {'a', "all", NULL, "list every disk and interface, and inactive VMs, too"},
    {KEY_DEADLINE, "deadline", "S",
     "wait no longer for libvirt's answers (default: 0.8 of "
     "the interval, from 0.5 to 5)"},
    {KEY_OVERHEAD, "overhead", "BITS",
     "added to each packet: 20 as in the paper (default), "
     "160 as on an Ethernet wire"},
    {KEY_NO_KERNEL, "no-kernel-path", NULL, "ask libvirt also for what the kernel tells of VMs"},
    {KEY_PROC, "proc", "DIR", "read this tree in place of /proc"},
    {KEY_SYS, "sys", "DIR", "read this tree in place of /sys"},
};

static const struct command_syntax syntax = {
    .name = "stat",
    .synopsis = "[OPTION]...",
    .description = "Shows what the host and its virtual machines use: CPU, memory, disks and\n"
                   "network. The first sample appears after one interval, since it takes two\n"
                   "readings.",
    .options = option_table,
    .option_count = ARRAY_LENGTH(option_table),
};

static bool take_option(struct stat_options *options, int key, const char *argument)
{
    switch (key) {
    case 'c':
        options->uri = argument;
        return true;
    case 'i':
        return options_number(&syntax, key, argument, 0.01, 86400, &options->interval_s);
    case 'n':
        return options_count(&syntax, key, argument, &options->count);
    case 'j':
        options->json = true;
        return true;
    case 'a':
        options->all = true;
        return true;
    case KEY_PROC:
        options->proc_root = argument;
        return true;
    case KEY_SYS:
        options->sys_root = argument;
        return true;
    case KEY_DEADLINE:
        return options_number(&syntax, key, argument, 0.01, 3600, &options->deadline_s);
    case KEY_OVERHEAD:
        return options_number(&syntax, key, argument, 0, 10000, &options->overhead_bits);
    case KEY_NO_VMS:
        options->vms = false;
        return true;
    case KEY_NO_KERNEL:
        options->kernel_path = false;
        return true;
    default:
        return false;
    }
}

/* Returns an exit status, or -1 to go on. */
static int parse_options(int argc, char **argv, struct stat_options *options)
{
    const char *argument = NULL;
    int key = 0;

    *options = (struct stat_options){
        .vms = true,
        .kernel_path = true,
        .interval_s = 1,
        .deadline_s = NAN,
        .overhead_bits = PACKET_OVERHEAD_PAPER_BITS,
    };
    while ((key = options_next(&syntax, argc, argv, &argument)) >= 0)
        if (!take_option(options, key, argument))
            return STATUS_USAGE;
    if (key == OPTIONS_HELP)
        return STATUS_OK;
    if (key == OPTIONS_ERROR)
        return STATUS_USAGE;
    if (optind < argc)
        return command_usage_error("stat", "unexpected word '%s'", argv[optind]);
    if (!options->vms && options->uri)
        return command_usage_error("stat", "--connect and --no-vms exclude each other");
    if (isnan(options->deadline_s))
        options->deadline_s = fmin(fmax(0.5, 0.8 * options->interval_s), DEADLINE_MOST_S);
    return -1;
}

/* ---- ticks ---------------------------------------------------------------------------------- */

/*
 * Sleeps until that time of CLOCK_MONOTONIC. Returns false when the user wants
 * to end, or nobody reads our output any more.
 */
static bool wait_until(double tick_s)
{
    struct pollfd output = {.fd = STDOUT_FILENO};
    while (!stat_stopped()) {
        double left_s = tick_s - clock_monotonic_s();
        if (left_s <= 0)
            left_s = 0; /* still look at signals and at the reader */
        struct timespec left = {(time_t)left_s, (long)((left_s - floor(left_s)) * 1e9)};
        int ready = ppoll(&output, 1, &left, stat_stop_mask());
        if (ready > 0 && (output.revents & (POLLERR | POLLHUP)))
            return false;
        if (ready > 0)
            output.fd = -1; /* nothing that poll could tell of */
        if (ready == 0 && clock_monotonic_s() >= tick_s)
            return !stat_stopped();
    }
    return false;
}

/* The next multiple of the interval since the start; those that are past are skipped. */
static double next_tick(double start_s, double interval_s, uint64_t *tick)
{
    double now_ticks = floor((clock_monotonic_s() - start_s) / interval_s);
    *tick += 1;
    if (now_ticks >= (double)*tick)
        *tick = (uint64_t)now_ticks + 1;
    return start_s + (double)*tick * interval_s;
}

/* ---- output ----------------------------------------------------------------------------------- */

enum output_result { OUTPUT_GOES_ON, OUTPUT_ENDS, OUTPUT_FAILED };

static enum output_result write_output(const char *text)
{
    enum output_result result = OUTPUT_GOES_ON;
    size_t left = strlen(text);
    sigset_t blocked;

    pthread_sigmask(SIG_SETMASK, stat_stop_mask(), &blocked);
    while (left > 0 && result == OUTPUT_GOES_ON) {
        ssize_t written = write(STDOUT_FILENO, text, left);
        if (written >= 0) {
            text += written;
            left -= (size_t)written;
        } else if (errno == EPIPE) {
            result = OUTPUT_ENDS;
        } else if (errno == EINTR) {
            result = stat_stopped() ? OUTPUT_ENDS : OUTPUT_GOES_ON;
        } else if (errno == EAGAIN) {
            struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
            poll(&output, 1, -1);
            result = stat_stopped() ? OUTPUT_ENDS : OUTPUT_GOES_ON;
        } else {
            command_error("stat", "cannot write to stdout: %s", strerror(errno));
            result = OUTPUT_FAILED;
        }
    }
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    return result;
}

static int format_report(const struct stat_report *report, const struct stat_options *options,
                         char **ret_text)
{
    if (options->json)
        return stat_json(report, ret_text);
    struct stat_table_options table = {.all = options->all, .screen = isatty(STDOUT_FILENO)};
    struct winsize size;
    if (table.screen && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        table.rows = size.ws_row;
    return stat_table(report, &table, ret_text);
}

static enum output_result print_sample(const struct stat_sampler *sampler,
                                       const struct stat_options *options)
{
    CLEANUP(cleanup_free) char *text = NULL;
    struct stat_report report = stat_sampler_report(sampler);
    if (format_report(&report, options, &text) < 0) {
        command_error("stat", "out of memory");
        return OUTPUT_FAILED;
    }
    return write_output(text);
}

/* ---- the command --------------------------------------------------------------------------------- */

/* One reading. Returns an exit status, or -1 to go on. */
static int take(struct stat_sampler *sampler)
{
    struct error err = {""};
    int result = stat_sampler_take(sampler, &err);

    if (stat_stopped())
        return STATUS_OK;
    return result < 0 ? command_error("stat", "%s", err.text) : -1;
}

/* Readings on the ticks, a sample after each but the first. Returns an exit status. */
static int run(struct stat_sampler *sampler, const struct stat_options *options)
{
    double start_s = clock_monotonic_s();
    uint64_t tick = 0;
    int status = take(sampler);

    for (uint64_t printed = 0; status < 0 && (options->count == 0 || printed < options->count);
         printed++) {
        if (!wait_until(next_tick(start_s, options->interval_s, &tick)))
            return STATUS_OK;
        status = take(sampler);
        if (status >= 0)
            return status;
        switch (print_sample(sampler, options)) {
        case OUTPUT_GOES_ON:
            break;
        case OUTPUT_ENDS:
            return STATUS_OK;
        case OUTPUT_FAILED:
            return STATUS_FAILED;
        }
    }
    if (status < 0)
        status = sampler->incomplete ? STATUS_FAILED : STATUS_OK; /* and one line has said why */
    return status;
}

int command_stat(int argc, char **argv)
{
    struct stat_options options;
    int status = parse_options(argc, argv, &options);
    if (status >= 0)
        return status;

    setlocale(LC_CTYPE, "C.UTF-8"); /* widths of names; numbers stay as in "C" */
    stat_stop_prepare();
    struct stat_sampler sampler = {0};
    struct error err = {""};
    if (stat_sampler_init(&sampler, &options, &err) < 0 ||
        stat_stop_watch(sampler.source, &err) < 0)
        status = command_error("stat", "%s", err.text);
    else
        status = run(&sampler, &options);
    stat_stop_release();
    stat_sampler_release(&sampler);
    return status;
}
