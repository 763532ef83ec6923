/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: XML edited for a migration. It has the disk and the plan then, and stays as it is when edited again. */

#include "setmov/vm_incoming.h"
#include "setmov/vm_migrate.h"

#include "vm/migrate_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
    if (!truth)
        abort();
}

static const uint8_t sha256[32] = {1, 2, 3};

static int edit(const char *xml, size_t size, char **ret_xml)
{
    struct vm_layer layers[] = {{(char *)"/i/a & b.qcow2", (char *)"qcow2"},
                                {(char *)"/i/gold.raw", (char *)"raw"}};
    const struct vm_migrate_disk disk = {.target = "vda", .layers = layers, .count = 2};
    struct error err = {""};
    int r = vm_migrate_xml(text_of(xml, size), &disk, 1, "a.plan", sha256, ret_xml, &err);

    check(r == 0 || err.text[0] != '\0');
    return r;
}

static void check_chains(const char *xml, size_t size)
{
    struct vm_chains chains = {NULL, 0, 0};
    struct error err = {""};

    if (migrate_chains_parse(text_of(xml, size), &chains, &err) < 0) {
        check(err.text[0] != '\0' && !chains.chains);
        return;
    }
    for (size_t i = 0; i < chains.count; i++)
        for (size_t j = 0; j < chains.chains[i].count; j++)
            check(chains.chains[i].layers[j].path[0] == '/' && chains.chains[i].layers[j].format);
    vm_chains_release(&chains);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *once = NULL, *twice = NULL, *defined = NULL;

    check_chains((const char *)data, size);
    if (edit((const char *)data, size, &once) == 0) {
        check(strstr(once, VM_INCOMING_NAMESPACE) && strstr(once, "/i/a &amp; b.qcow2"));
        check(edit(once, strlen(once), &twice) == 0);
        check(strcmp(once, twice) == 0);
        check(migrate_xml_define(text_of(once, strlen(once)), NULL, 0, NULL, NULL, &defined,
                                 NULL) == 0);
    }
    free(once);
    free(twice);
    free(defined);
    return 0;
}
