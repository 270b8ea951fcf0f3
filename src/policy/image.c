#include <stdlib.h>
#include <string.h>
#include "policy/name.h"
#include "policy/schema.h"

#define MODE_DEFAULT 0700
#define MODE_MAX 0777
#define FILES_MAX 1000 /* of an image; the runtime holds them all in memory */

static const struct key_rule image_keys[] = {
	{"name", KEY_OK, 0},
	{"injection_files", KEY_OK, 0},
	{"provide_secrets", KEY_OK, 11},
	{"volumes", KEY_OK, 0},
	{"trees", KEY_OK, 0},
	{"mrenclaves", KEY_OLD, 0},
	{"tags", KEY_OLD, 0},
	{NULL, KEY_OK, 0},
};

static const struct key_rule file_keys[] = {
	{"path", KEY_OK, 0},
	{"content", KEY_OK, 0},
	{"permission", KEY_OK, 10},
	{NULL, KEY_OK, 0},
};

static void read_path(
	struct parse *p, const struct ynode *n, const struct image *image, struct injection_file *ret)
{
	if (!want_text(p, n, false))
		return;
	if (n->text[0] != '/') {
		ynode_diag(p->d, n, "E-VALUE", "%s is relative; the path of an injected file is absolute",
			show(n).s);
		return;
	}
	for (size_t i = 0; i < image->file_count; i++) {
		if (image->files[i].path && !strcmp(image->files[i].path, n->text)) {
			ynode_diag(p->d, n, "E-DUP", "%s is injected by an earlier entry already", show(n).s);
			return;
		}
	}
	ret->path = parse_strdup(p, n->text, n->len);
}

static void read_permission(struct parse *p, const struct ynode *n, struct injection_file *ret)
{
	const char *digits;
	uint32_t mode = 0;

	if (!want_text(p, n, false))
		return;
	digits = !strncmp(n->text, "0o", 2) ? n->text + 2 : n->text[0] == '0' ? n->text + 1 : "";
	if (!*digits || strspn(digits, "01234567") != strlen(digits)) {
		ynode_diag(p->d, n, "E-VALUE",
			"%s is no permission; octal digits after 0o are wanted, such as 0o640", show(n).s);
		return;
	}
	for (; *digits && mode <= MODE_MAX; digits++)
		mode = mode * 8 + (uint32_t)(*digits - '0');
	if (mode > MODE_MAX)
		ynode_diag(p->d, n, "E-RANGE", "%s; at most 0o777 is allowed", show(n).s);
	else
		ret->mode = mode;
}

static void read_content(struct parse *p, const struct ynode *n, struct injection_file *ret)
{
	if (!want_text(p, n, true))
		return;
	check_templates(p, n, n->text, n->len, false);
	ret->content = parse_strdup(p, n->text, n->len);
	ret->content_len = n->len;
	ret->has_content = true;
}

static void read_file(struct parse *p, const struct ynode *n, struct image *image)
{
	size_t count = image->file_count;
	struct injection_file *list, *f;

	if (n->bad)
		return;
	if (n->kind == YNODE_LIST) {
		ynode_diag(p->d, n, "E-TYPE",
			"a list stands here; a path, or a map with path, content and permission is wanted");
		return;
	}
	list = parse_grow(p, image->files, &count, sizeof *list);
	if (!list)
		return;
	image->files = list;
	f = &list[count - 1];
	f->mode = MODE_DEFAULT;
	if (n->kind == YNODE_SCALAR) {
		read_path(p, n, image, f);
	} else {
		keys_check(p, n, file_keys);
		read_path(p, want_key(p, n, "path"), image, f);
		if (ynode_get(n, "content"))
			read_content(p, ynode_get(n, "content"), f);
		if (ynode_get(n, "permission"))
			read_permission(p, ynode_get(n, "permission"), f);
	}
	/* Counted only now: read_path looks through the entries before this one. */
	image->file_count = count;
}

static bool is_foreign(const struct parse *p, const struct ynode *n)
{
	for (size_t i = 0; i < p->foreign_count; i++)
		if (p->foreign[i]->len == n->len && !memcmp(p->foreign[i]->text, n->text, n->len))
			return true;
	return false;
}

static bool is_fragment(const struct parse *p, const struct ynode *n)
{
	const struct secret_spec *s = session_secret(p->s, n->text, n->len);

	return s && s->kind == SECRET_FRAGMENT;
}

static void read_provided(struct parse *p, const struct ynode *n, struct image *image)
{
	if (!want_list(p, n))
		return;
	image->has_provide_secrets = true;
	for (size_t i = 0; i < n->count; i++) {
		const struct ynode *item = n->items[i];
		size_t count = image->provide_count;
		char **list;

		if (!want_text(p, item, false))
			continue;
		if (!session_secret(p->s, item->text, item->len) && !is_foreign(p, item)) {
			ynode_diag(p->d, item, "E-REF", "%s is no secret of this session", show(item).s);
			continue;
		}
		if (is_fragment(p, item)) {
			ynode_diag(p->d, item, "E-KIND", "%s is a config-fragment, which files do not use",
				show(item).s);
			continue;
		}
		list = parse_grow(p, image->provide_secrets, &count, sizeof *list);
		if (!list)
			return;
		image->provide_secrets = list;
		list[count - 1] = parse_strdup(p, item->text, item->len);
		if (list[count - 1])
			image->provide_count = count;
	}
}

static void read_image(struct parse *p, const struct ynode *n)
{
	const struct ynode *name, *files, *provided;
	size_t count = p->s->image_count;
	struct image *list, *image;

	if (!want_map(p, n))
		return;
	list = parse_grow(p, p->s->images, &count, sizeof *list);
	if (!list)
		return;
	p->s->images = list;
	image = &list[count - 1];
	keys_check(p, n, image_keys);
	name = want_key(p, n, "name");
	if (want_text(p, name, false)) {
		if (name->len == 0)
			ynode_diag(p->d, name, "E-LENGTH", "the name of an image is empty");
		else if (session_image(p->s, name->text))
			ynode_diag(p->d, name, "E-DUP", "%s names an earlier image already", show(name).s);
		else
			image->name = parse_strdup(p, name->text, name->len);
	}
	/* Counted only now: the name must not be found as its own duplicate. */
	p->s->image_count = count;
	read_image_volumes(p, ynode_get(n, "volumes"), image);
	read_image_trees(p, ynode_get(n, "trees"), image);
	files = ynode_get(n, "injection_files");
	if (files && want_list(p, files)) {
		if (files->count > FILES_MAX)
			ynode_diag(p->d, files, "E-LENGTH", "%zu files; at most %d are accepted",
				files->count, FILES_MAX);
		for (size_t i = 0; i < files->count && i < FILES_MAX; i++)
			read_file(p, files->items[i], image);
	}
	provided = ynode_get(n, "provide_secrets");
	if (provided)
		read_provided(p, provided, image);
}

void read_images(struct parse *p, const struct ynode *n)
{
	if (!n || !want_list(p, n))
		return;
	for (size_t i = 0; i < n->count; i++)
		read_image(p, n->items[i]);
}

void image_clear(struct image *i)
{
	for (size_t k = 0; k < i->file_count; k++) {
		free(i->files[k].path);
		if (i->files[k].content)
			secret_wipe(i->files[k].content, i->files[k].content_len);
		free(i->files[k].content);
	}
	for (size_t k = 0; k < i->provide_count; k++)
		free(i->provide_secrets[k]);
	for (size_t k = 0; k < i->volume_count; k++)
		image_volume_clear(&i->volumes[k]);
	for (size_t k = 0; k < i->tree_count; k++)
		image_tree_clear(&i->trees[k]);
	free(i->trees);
	free(i->volumes);
	free(i->provide_secrets);
	free(i->files);
	free(i->name);
}
