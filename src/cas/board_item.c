#include "cas/board_item.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void board_item_volume(const char *name, struct buf *out)
{
	buf_puts(out, "volume:");
	for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
		if ((*c < 0x80 && isalnum(*c)) || strchr("_-.~", *c))
			buf_putc(out, (char)*c);
		else
			buf_printf(out, "%%%02X", *c);
	}
}

static bool has_item(const struct proposal *p, const char *item)
{
	for (size_t i = 0; i < p->subject.item_count; i++)
		if (!strcmp(p->subject.items[i], item))
			return true;
	return false;
}

static int add(struct proposal *p, const char *item, struct error *err)
{
	return has_item(p, item) ? 0 : proposal_add_item(p, item, err);
}

static int add_secrets(const struct stored_session *exporter, const struct stored_session *importer,
	struct proposal *p, struct error *err)
{
	for (size_t i = 0; i < importer->doc->secret_count; i++) {
		const struct secret_spec *s = &importer->doc->secrets[i], *given;

		if (!s->imported || strcmp(s->import.session, exporter->doc->name) != 0)
			continue;
		given = session_secret(exporter->doc, s->import.item, strlen(s->import.item));
		if (given && secret_is_exported(given, importer->doc->name, importer->hash) &&
			add(p, given->name, err))
			return -1;
	}
	return 0;
}

static const struct volume_spec *exported_volume(
	const struct session *exporter, const char *item, const struct stored_session *importer)
{
	for (size_t i = 0; i < exporter->volume_count; i++)
		if (!exporter->volumes[i].imported &&
			volume_export_for(&exporter->volumes[i], item, importer->doc->name, importer->hash))
			return &exporter->volumes[i];
	return NULL;
}

static int add_volumes(const struct stored_session *exporter, const struct stored_session *importer,
	struct proposal *p, struct error *err)
{
	for (size_t i = 0; i < importer->doc->volume_count; i++) {
		const struct volume_spec *v = &importer->doc->volumes[i], *given;
		struct buf item;
		int rc = 0;

		if (!v->imported || strcmp(v->import.session, exporter->doc->name) != 0)
			continue;
		given = exported_volume(exporter->doc, v->import.item, importer);
		if (!given)
			continue;
		buf_init(&item, 65536);
		board_item_volume(given->name, &item);
		rc = buf_cstr(&item) ? add(p, (const char *)item.data, err)
				     : error_set(err, ERR_NOMEM, "out of memory for the name of a volume");
		buf_free(&item);
		if (rc)
			return -1;
	}
	return 0;
}

static int order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int board_items(const struct stored_session *exporter, const struct stored_session *importer,
	struct proposal *p, struct error *err)
{
	if (add_secrets(exporter, importer, p, err) || add_volumes(exporter, importer, p, err))
		return -1;
	if (!p->subject.item_count)
		return error_set(err, ERR_NOT_FOUND,
			"session \"%s\" imports nothing of \"%s\" that is exported to it [E-REF]",
			importer->doc->name, exporter->doc->name);
	qsort((void *)p->subject.items, p->subject.item_count, sizeof(char *), order);
	return 0;
}
