// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The whole userland of the test guest: loads the virtio modules and obeys
 * commands on the second serial line, so that a test knows to the byte what
 * the guest wrote and to the packet what it sent.
 *
 * One command a line, one answer a line ("ok ..." or "error ..."):
 *   write DEVICE BYTES SECONDS  writes from the start, past the page cache, evenly over SECONDS
 *   read DEVICE BYTES SECONDS   reads the same way
 *   send INTERFACE COUNT BYTES SECONDS  raw Ethernet frames of BYTES (without FCS)
 *   net INTERFACE               rx_packets rx_bytes tx_packets tx_bytes
 *   burn SECONDS                keeps one CPU busy; answers at once
 *   memory                      MemTotal MemFree MemAvailable in bytes
 *   hold BYTES                  takes and touches that much memory
 *   count                       number of the last record synced (guest_records.c)
 *   still                       the same, and no more are written
 *   crash | poweroff
 */
#define _GNU_SOURCE 1
#include "guest_records.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES (64 * 1024)
#define FRAME_MAX   1514
#define ETHERTYPE   0x88b5 /* IEEE's number for local experiments: no stack takes it */

static FILE *line_out;

static void answer_error(const char *what)
{
    fprintf(line_out, "error %s: %s\n", what, strerror(errno));
}

static void load_modules(void)
{
    char path[256];
    FILE *list = fopen("/modules/order", "re");
    while (list != NULL && fscanf(list, "%255s", path) == 1) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0)
            fprintf(stderr, "module %s: %s\n", path, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    if (list != NULL)
        fclose(list);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int interface_up(int fd, const char *name)
{
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
        return -1;
    request.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &request);
}

/* Reads or writes `bytes` from the start of /dev/DEVICE, not through the page cache. */
static void transfer(const char *device, uint64_t bytes, double seconds, bool writing)
{
    char path[64];
    snprintf(path, sizeof(path), "/dev/%s", device);
    int fd = open(path, (writing ? O_WRONLY : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        answer_error(path);
        return;
    }
    char *block =
        mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(block, 0x5a, BLOCK_BYTES);
    uint64_t done = 0;
    double start_s = now_s();
    while (done < bytes) {
        double due_s = start_s + seconds * (double)done / (double)bytes;
        while (now_s() < due_s)
            usleep(5000);
        size_t now = bytes - done < BLOCK_BYTES ? (size_t)(bytes - done) : BLOCK_BYTES;
        ssize_t got =
            writing ? pwrite(fd, block, now, (off_t)done) : pread(fd, block, now, (off_t)done);
        if (got <= 0)
            break;
        done += (uint64_t)got;
    }
    if (done == bytes && fsync(fd) == 0)
        fprintf(line_out, "ok %" PRIu64 "\n", done);
    else
        answer_error(path);
    munmap(block, BLOCK_BYTES);
    close(fd);
}

/* The host's bridge, whose address the test bed has set; nobody answers it. */
static const unsigned char bridge_mac[6] = {0x52, 0x54, 0x00, 0x77, 0x00, 0x01};

static void send_frames(const char *interface, unsigned count, unsigned bytes, double seconds)
{
    unsigned char frame[FRAME_MAX] = {0};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0 || bytes < ETH_HLEN || bytes > FRAME_MAX || interface_up(fd, interface) != 0) {
        answer_error(interface);
        close(fd);
        return;
    }
    memcpy(frame, bridge_mac, sizeof(bridge_mac));
    frame[12] = ETHERTYPE >> 8;
    frame[13] = ETHERTYPE & 0xff;
    struct ifreq own = {0};
    snprintf(own.ifr_name, sizeof(own.ifr_name), "%s", interface);
    if (ioctl(fd, SIOCGIFHWADDR, &own) == 0)
        memcpy(frame + 6, own.ifr_hwaddr.sa_data, 6);
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_ifindex = (int)if_nametoindex(interface)};
    unsigned sent = 0;
    double start_s = now_s();
    while (sent < count) {
        while (now_s() < start_s + seconds * sent / count)
            usleep(5000);
        if (sendto(fd, frame, bytes, 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)bytes)
            sent++;
        else if (errno == ENOBUFS || errno == EAGAIN)
            usleep(1000);
        else
            break;
    }
    if (sent == count)
        fprintf(line_out, "ok %u\n", sent);
    else
        answer_error("sendto");
    close(fd);
}

static uint64_t net_counter(const char *interface, const char *counter)
{
    char path[128];
    uint64_t value = 0;
    snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", interface, counter);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%" SCNu64, &value) != 1)
            value = 0;
        fclose(file);
    }
    return value;
}

static void tell_net(const char *interface)
{
    fprintf(line_out, "ok %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
            net_counter(interface, "rx_packets"), net_counter(interface, "rx_bytes"),
            net_counter(interface, "tx_packets"), net_counter(interface, "tx_bytes"));
}

static void burn(double seconds)
{
    if (fork() != 0)
        return;
    double end_s = now_s() + seconds;
    do {
        for (volatile int i = 0; i < 100000; i++)
            ;
    } while (now_s() < end_s);
    _exit(0);
}

static void tell_memory(void)
{
    char name[64];
    uint64_t kib;
    uint64_t total = 0;
    uint64_t free_kib = 0;
    uint64_t available = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fscanf(file, "%63s %" SCNu64 " kB\n", name, &kib) == 2) {
        if (strcmp(name, "MemTotal:") == 0)
            total = kib;
        else if (strcmp(name, "MemFree:") == 0)
            free_kib = kib;
        else if (strcmp(name, "MemAvailable:") == 0)
            available = kib;
    }
    if (file != NULL)
        fclose(file);
    fprintf(line_out, "ok %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", total * 1024, free_kib * 1024,
            available * 1024);
}

static void hold(uint64_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        answer_error("mmap");
        return;
    }
    for (uint64_t at = 0; at < bytes; at += 4096)
        memory[at] = 1;
    fprintf(line_out, "ok\n");
}

static void tell_records(bool stop)
{
    uint64_t number;
    errno = -records_synced(stop, &number);
    if (errno == 0)
        fprintf(line_out, "ok %" PRIu64 "\n", number);
    else
        answer_error("records");
}

static void crash(void)
{
    int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "c", 1) != 1)
        answer_error("sysrq");
}

static void obey(const char *line)
{
    char name[32];
    char word[32] = "";
    uint64_t first = 0;
    uint64_t second = 0;
    uint64_t third = 0;
    int words = sscanf(line, "%31s %31s %" SCNu64 " %" SCNu64 " %" SCNu64, name, word, &first,
                       &second, &third);
    if (words < 1)
        return;
    if (strcmp(name, "write") == 0 || strcmp(name, "read") == 0) {
        transfer(word, first, (double)second, name[0] == 'w');
    } else if (strcmp(name, "send") == 0) {
        send_frames(word, (unsigned)first, (unsigned)second, (double)third);
    } else if (strcmp(name, "net") == 0) {
        tell_net(word);
    } else if (strcmp(name, "burn") == 0) {
        burn(strtod(word, NULL));
        fprintf(line_out, "ok\n");
    } else if (strcmp(name, "memory") == 0) {
        tell_memory();
    } else if (strcmp(name, "hold") == 0) {
        hold(strtoull(word, NULL, 10));
    } else if (strcmp(name, "count") == 0 || strcmp(name, "still") == 0) {
        tell_records(name[0] == 's');
    } else if (strcmp(name, "crash") == 0) {
        crash();
    } else if (strcmp(name, "poweroff") == 0) {
        reboot(RB_POWER_OFF);
    } else {
        fprintf(line_out, "error no such command: %s\n", name);
    }
}

int main(void)
{
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    signal(SIGCHLD, SIG_IGN); /* children of burn */
    records_start("/dev/vda");

    int fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return 1;
    struct termios raw;
    tcgetattr(fd, &raw);
    cfmakeraw(&raw);
    cfsetspeed(&raw, B115200);
    tcsetattr(fd, TCSANOW, &raw);
    line_out = fdopen(fd, "w");
    FILE *line_in = fdopen(dup(fd), "r");
    if (line_out == NULL || line_in == NULL)
        return 1;
    setvbuf(line_out, NULL, _IOLBF, 0);
    interface_up(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "eth0");
    interface_up(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "eth1");
    fprintf(line_out, "ready\n");

    char line[256];
    while (fgets(line, sizeof(line), line_in) != NULL)
        obey(line);
    reboot(RB_POWER_OFF);
    return 0;
}
