/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host name and IP address (effects: files of /proc/net, gethostname, one ioctl). */

#include "internal.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

void identity_host_name(int proc_directory, bool own, struct file_buffer *buffer, char *ret_name,
                        size_t size)
{
    struct text text, line;

    ret_name[0] = '\0';
    if (own) {
        char name[HOST_NAME_MAX_BYTES];

        if (gethostname(name, sizeof(name)) < 0)
            return;
        name[sizeof(name) - 1] = '\0';
        copy_name(text_of(name, strlen(name)), ret_name, size);
        return;
    }
    if (file_read(proc_directory, "sys/kernel/hostname", buffer) < 0)
        return;
    text = text_of(buffer->bytes, buffer->length);
    if (text_next_line(&text, &line) && !copy_name(line, ret_name, size))
        ret_name[0] = '\0';
}

/* A missing file is an empty text. */
static struct text read_net(int proc_directory, const char *net, const char *name,
                            struct file_buffer *buffer)
{
    char path[64];

    buffer->length = 0;
    if (string_format(path, sizeof(path), "%s/%s", net, name))
        file_read(proc_directory, path, buffer);
    return text_of(buffer->bytes, buffer->length);
}

/* The kernel's first address of the interface: one call, however many interfaces there are. */
static bool ask_kernel(const char *interface, char *ret_address, size_t size)
{
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address;
    struct ifreq request = {0};

    if (fd < 0 || !string_copy(request.ifr_name, sizeof(request.ifr_name), interface) ||
        ioctl(fd, SIOCGIFADDR, &request) < 0)
        return false;
    memcpy(&address, &request.ifr_addr, sizeof(address));
    return inet_ntop(AF_INET, &address.sin_addr, ret_address, (socklen_t)size) != NULL;
}

static bool find_address4(int proc_directory, const char *net, bool own, char *ret_address,
                          size_t size)
{
    CLEANUP(file_buffer_release) struct file_buffer routes = {0}, trie = {0};
    struct text text = read_net(proc_directory, net, "route", &routes);
    char interface[INTERFACE_NAME_BYTES];

    if (!route_default_interface(text, interface, sizeof(interface)))
        return false;
    if (own)
        return ask_kernel(interface, ret_address, size);
    return route_find_address(read_net(proc_directory, net, "fib_trie", &trie), text, interface,
                              ret_address, size);
}

static bool find_address6(int proc_directory, const char *net, char *ret_address, size_t size)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {0};
    char interface[INTERFACE_NAME_BYTES];

    return route6_default_interface(read_net(proc_directory, net, "ipv6_route", &buffer), interface,
                                    sizeof(interface)) &&
           route6_find_address(read_net(proc_directory, net, "if_inet6", &buffer), interface,
                               ret_address, size);
}

void identity_address(int proc_directory, const char *net, bool own, char *ret_address, size_t size)
{
    if (!find_address4(proc_directory, net, own, ret_address, size) &&
        !find_address6(proc_directory, net, ret_address, size))
        ret_address[0] = '\0';
}
