/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads libxml2 late: stands in for its functions that src/vm/xml.c calls. A
 * further one that it calls makes the hook fail to link, and belongs here.
 */
#include "libxml2.h"

#include <dlfcn.h>
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#define LIBRARY "libxml2.so.2"

/* Functions that src/vm/xml.c calls, of the types that libxml2's headers give them. */
static struct {
    __typeof__(&xmlNewParserCtxt) new_parser;
    __typeof__(&xmlFreeParserCtxt) free_parser;
    __typeof__(&xmlCtxtReadMemory) read_memory;
    __typeof__(&xmlFreeDoc) free_tree;
    __typeof__(&xmlDocGetRootElement) root;
    __typeof__(&xmlGetNoNsProp) attribute;
    __typeof__(&xmlNodeGetContent) content;
    bool loaded;
} library;

static const struct {
    const char *name;
    void *to;
} symbols[] = {
    {"xmlNewParserCtxt", &library.new_parser},   {"xmlFreeParserCtxt", &library.free_parser},
    {"xmlCtxtReadMemory", &library.read_memory}, {"xmlFreeDoc", &library.free_tree},
    {"xmlDocGetRootElement", &library.root},     {"xmlGetNoNsProp", &library.attribute},
    {"xmlNodeGetContent", &library.content},
};

/* Called for what the functions below gave only, and so after loading. */
xmlFreeFunc xmlFree = free;

static int refuse(struct error *err)
{
    const char *message = dlerror();

    return error_set(err, -ENOPKG, "cannot load libxml2: %s", message ? message : LIBRARY);
}

int libxml2_load(struct error *err)
{
    void *handle, *variable;

    if (library.loaded)
        return 0;
    handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return refuse(err);
    for (size_t i = 0; i < ARRAY_LENGTH(symbols); i++) {
        void *symbol = dlsym(handle, symbols[i].name);

        if (!symbol) {
            refuse(err);
            dlclose(handle);
            return -ENOPKG;
        }
        memcpy(symbols[i].to, &symbol, sizeof(symbol)); /* ISO C has no such cast */
    }
    variable = dlsym(handle, "xmlFree");
    if (!variable) {
        refuse(err);
        dlclose(handle);
        return -ENOPKG;
    }
    memcpy(&xmlFree, variable, sizeof(xmlFree));
    library.loaded = true; /* and never unloaded: libxml2 keeps data of threads */
    return 0;
}

/* ---- what src/vm/xml.c calls ------------------------------------------------------------ */

xmlParserCtxtPtr xmlNewParserCtxt(void)
{
    return library.loaded ? library.new_parser() : NULL;
}

void xmlFreeParserCtxt(xmlParserCtxtPtr ctxt)
{
    if (ctxt)
        library.free_parser(ctxt);
}

xmlDocPtr xmlCtxtReadMemory(xmlParserCtxtPtr ctxt, const char *buffer, int size, const char *url,
                            const char *encoding, int options)
{
    return library.read_memory(ctxt, buffer, size, url, encoding, options);
}

void xmlFreeDoc(xmlDocPtr cur)
{
    if (cur)
        library.free_tree(cur);
}

xmlNodePtr xmlDocGetRootElement(const xmlDoc *doc)
{
    return library.root(doc);
}

xmlChar *xmlGetNoNsProp(const xmlNode *node, const xmlChar *name)
{
    return library.attribute(node, name);
}

xmlChar *xmlNodeGetContent(const xmlNode *cur)
{
    return library.content(cur);
}
