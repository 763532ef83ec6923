/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libvirt says of a move, for scripts: move_tool read URI VM | ask URI VM
 * URI OWN-UUID [MACHINE [CPU]] | move URI URI UUID [BITS] | domains URI | files
 * URI. MACHINE and CPU (XML) stand in for the VM's own.
 */
#include "setmov/vm_move.h"

#include <errno.h>
#include <stdio.h>

static int fail(int r, const struct error *err)
{
    fprintf(stderr, "%s: %s\n", strerrorname_np(-r), err->text);
    return 1;
}

static void print_lines(const char *head, const struct vm_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        printf("%s %s\n", head, lines->lines[i]);
}

static void print_vm(const struct vm_move *vm)
{
    char uuid[UUID_TEXT_BYTES];

    uuid_format(&vm->uuid, uuid);
    printf("name %s\nuuid %s\nactive %d\nmemory %llu\nvcpus %u\nmachine %s %s %s\n", vm->name, uuid,
           vm->active, (unsigned long long)vm->memory_bytes, vm->vcpus, vm->type, vm->arch,
           vm->machine ? vm->machine : "?");
    printf("cpu %s\n", vm->cpu ? "yes" : "no");
    for (size_t i = 0; i < vm->disk_count; i++)
        printf("disk %s %s %s capacity %llu allocated %llu layers %zu\n", vm->disks[i].target,
               vm->disks[i].path, vm->disks[i].format,
               (unsigned long long)vm->disks[i].capacity_bytes,
               (unsigned long long)vm->disks[i].allocated_bytes, vm->disks[i].layers);
    print_lines("network", &vm->networks);
    print_lines("bridge", &vm->bridges);
    print_lines("needs", &vm->files);
    print_lines("obstacle", &vm->obstacles);
}

static int run_read(struct vm_peer *peer, char **arguments, struct error *err)
{
    struct vm_move vm = {.name = NULL};
    int r = vm_move_read(peer, arguments[0], &vm, err);

    if (r == 0)
        print_vm(&vm);
    vm_move_release(&vm);
    return r;
}

static void replace(char **string, const char *with)
{
    free(*string);
    *string = strdup(with);
}

static int run_ask(struct vm_peer *peer, char **arguments, struct error *err)
{
    struct vm_lines obstacles = {NULL, 0, 0}, unknown = {NULL, 0, 0};
    struct vm_move vm = {.name = NULL};
    struct vm_peer *to = NULL;
    int r = vm_move_read(peer, arguments[0], &vm, err);

    if (r == 0)
        r = vm_peer_open(arguments[1], &to, err);
    if (r == 0 && arguments[3])
        replace(&vm.machine, arguments[3]);
    if (r == 0 && arguments[3] && arguments[4])
        replace(&vm.cpu, arguments[4]);
    if (r == 0)
        r = vm_move_ask(to, &vm, arguments[2], &obstacles, &unknown, err);
    print_lines("obstacle", &obstacles);
    print_lines("unknown", &unknown);
    vm_lines_release(&obstacles);
    vm_lines_release(&unknown);
    vm_move_release(&vm);
    vm_peer_close(to);
    return r;
}

static int run_move(struct vm_peer *peer, char **arguments, struct error *err)
{
    struct vm_peer *to = NULL;
    uint64_t bits = 0;
    struct uuid uuid;
    int r = uuid_parse(arguments[1], &uuid);

    if (r == 0 && arguments[2])
        r = parse_u64(arguments[2], &bits);
    if (r == 0)
        r = vm_peer_open(arguments[0], &to, err);
    if (r == 0)
        r = vm_move_plain(peer, to, &uuid, NULL, bits, err);
    vm_peer_close(to);
    return r;
}

static int run_domains(struct vm_peer *peer, char **arguments, struct error *err)
{
    struct vm_domains domains = {.domains = NULL};
    int r = vm_domains_read(peer, &domains, err);

    (void)arguments;
    for (size_t i = 0; i < domains.count; i++) {
        const struct vm_domain *domain = &domains.domains[i];

        printf("vm %s active %d memory %llu vcpus %u\n", domain->name, domain->active,
               (unsigned long long)domain->memory_bytes, domain->vcpus);
        for (size_t j = 0; j < domain->disk_count; j++)
            printf("disk %s %s %s %llu\n", domain->name, domain->disks[j].target,
                   domain->disks[j].path, (unsigned long long)domain->disks[j].capacity_bytes);
    }
    print_lines("problem", &domains.problems);
    vm_domains_release(&domains);
    return r;
}

static int run_files(struct vm_peer *peer, char **arguments, struct error *err)
{
    struct vm_files files = {NULL, 0, 0};
    int r = vm_files_in_use(peer, &files, err);

    (void)arguments;
    for (size_t i = 0; i < files.count; i++)
        printf("file %s\n", files.files[i].path);
    vm_files_release(&files);
    return r;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int least;
        int (*run)(struct vm_peer *peer, char **arguments, struct error *err);
    } commands[] = {
        {"read", 4, run_read},   {"ask", 6, run_ask},         {"move", 5, run_move},
        {"files", 3, run_files}, {"domains", 3, run_domains},
    };
    struct vm_peer *peer = NULL;
    struct error err = {""};
    int r = -EINVAL;

    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        if (argc < commands[i].least || strcmp(argv[1], commands[i].name) != 0)
            continue;
        r = vm_peer_open(argv[2], &peer, &err);
        if (r == 0)
            r = commands[i].run(peer, argv + 3, &err);
    }
    vm_peer_close(peer);
    return r < 0 ? fail(r, &err) : 0;
}
