/*
 * volume_probe CAS KEYHASH KEY.pem CERT.pem CONFIGURATION.json: the runtime's side of one volume's freshness (wire/volume_client.h), one command a line
 * of standard input, one answer a line of standard output: "ok …", or "CODE: text".
 *
 *   open PLACE WAIT_MS          PLACE: one character, repeated
 *   check GENERATION|- TAG MARK
 *   publish logged|committed|sync GENERATION TAG
 *   tick
 *   close GENERATION TAG
 *   fork                        a child does what follows; the parent waits and has its exit status
 *   pack                        what execve does: the client anew from its own state
 *   rest                        close the connection
 *   skip MS                     the client's clock goes on
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "core/encode.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "wire/json_wipe.h"
#include "wire/volume_client.h"

static uint64_t skipped;

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + skipped;
}

static void answer(int rc, const struct error *err, const char *more)
{
	if (rc)
		printf("%s: %s\n", error_code_name(err->code), err->text);
	else
		printf("ok%s%s\n", *more ? " " : "", more);
	fflush(stdout);
}

static void die(const char *what, const struct error *err)
{
	fprintf(stderr, "volume_probe: %s: %s\n", what, err ? err->text : "failed");
	exit(2);
}

static void read_file(const char *path, struct buf *out)
{
	char part[4096];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		die(path, NULL);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buf_put(out, part, n);
	fclose(f);
}

static struct volume_state state_of(const char *generation, const char *tag)
{
	struct volume_state v = {.generation = strtoull(generation, NULL, 10)};

	if (strlen(tag) == 1)
		memset(v.tag, tag[0], sizeof(v.tag));
	else if (hex_decode(tag, strlen(tag), v.tag, sizeof(v.tag)))
		die("tag", NULL);
	return v;
}

static void do_open(struct volume_client *c, const char *place, const char *wait)
{
	uint8_t p[VOLUME_PLACE_LEN];
	struct volume_lease l;
	struct error err = {0};
	char text[128] = "";
	int rc;

	memset(p, place[0], sizeof(p));
	rc = volume_client_open(c, p, atoi(wait), &l, &err);
	if (!rc)
		snprintf(text, sizeof(text), "number %llu least %llu version %s%llu",
			(unsigned long long)l.number, (unsigned long long)l.least,
			l.has_version ? "" : "none, ",
			(unsigned long long)(l.has_version ? l.version.generation : 0));
	answer(rc, &err, text);
}

static void do_check(struct volume_client *c, const char *generation, const char *tag, const char *mark)
{
	struct volume_state v = {0};
	bool none = !strcmp(generation, "-"), create = false;
	struct error err = {0};
	int rc;

	if (!none)
		v = state_of(generation, tag);
	rc = volume_client_check(c, none ? NULL : &v, strtoull(mark, NULL, 10), &create, &err);
	answer(rc, &err, create ? "create" : "");
}

static void do_publish(struct volume_client *c, const char *event, const char *generation, const char *tag)
{
	static const char *const events[] = {"logged", "committed", "sync"};
	struct volume_state v = state_of(generation, tag);
	struct error err = {0};
	int e = 0;

	while (e < 2 && strcmp(events[e], event))
		e++;
	answer(volume_client_publish(c, (enum volume_client_event)e, &v, &err), &err, "");
}

static struct volume_client *repack(struct volume_client *c, const struct volume_client_options *o)
{
	struct volume_client *next = NULL;
	struct error err = {0};
	struct buf b;
	int rc;

	buf_init_secret(&b, 65536);
	rc = volume_client_pack(c, &b, &err);
	volume_client_free(c);
	if (!rc)
		rc = volume_client_unpack(o, b.data, b.len, &next, &err);
	buf_free(&b);
	if (rc)
		die("pack", &err);
	answer(0, &err, "");
	return next;
}

static void run(struct volume_client *c, const struct volume_client_options *o)
{
	char line[1024], word[4][256];
	struct error err = {0};

	/* No buffer: the child of a fork reads on where the parent stopped. */
	setvbuf(stdin, NULL, _IONBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		int n = sscanf(line, "%255s %255s %255s %255s", word[0], word[1], word[2], word[3]);

		if (n == 3 && !strcmp(word[0], "open")) {
			do_open(c, word[1], word[2]);
		} else if (n == 4 && !strcmp(word[0], "check")) {
			do_check(c, word[1], word[2], word[3]);
		} else if (n == 4 && !strcmp(word[0], "publish")) {
			do_publish(c, word[1], word[2], word[3]);
		} else if (n == 1 && !strcmp(word[0], "tick")) {
			answer(volume_client_tick(c, &err), &err, "");
		} else if (n == 3 && !strcmp(word[0], "close")) {
			struct volume_state v = state_of(word[1], word[2]);

			answer(volume_client_close(c, &v, &err), &err, "");
		} else if (n == 2 && !strcmp(word[0], "skip")) {
			skipped += strtoull(word[1], NULL, 10);
			answer(0, &err, "");
		} else if (n == 1 && !strcmp(word[0], "rest")) {
			volume_client_rest(c);
			answer(0, &err, "");
		} else if (n == 1 && !strcmp(word[0], "pack")) {
			c = repack(c, o);
		} else if (n == 1 && !strcmp(word[0], "fork")) {
			pid_t child = fork();
			int status = 0;

			if (child > 0 && waitpid(child, &status, 0) == child)
				_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 3);
			answer(child < 0 ? -1 : 0, &err, "");
		} else {
			die(line, NULL);
		}
	}
	volume_client_free(c);
}

int main(int argc, char **argv)
{
	struct volume_client_options o = {.numeric_only = true, .timeout_ms = 3000, .clock = clock_ms};
	struct service_config config;
	uint8_t cas_key[KEY_HASH_LEN];
	struct volume_client *c;
	struct error err = {0};
	struct buf key, cert, json;

	if (argc != 6)
		die("five arguments", NULL);
	json_wipe_install();
	buf_init_secret(&key, 65536);
	buf_init(&cert, 65536);
	buf_init_secret(&json, CONFIG_MAX);
	read_file(argv[3], &key);
	read_file(argv[4], &cert);
	read_file(argv[5], &json);
	service_config_init(&config);
	if (key_hash_parse(argv[2], strlen(argv[2]), cas_key, &err) ||
		key_from_pem((const char *)key.data, key.len, &o.key, &err) ||
		x509_from_pem((const char *)cert.data, cert.len, &o.cert, &err) ||
		service_config_decode(json.data, json.len, &config, &err))
		die("arguments", &err);
	o.address = argv[1];
	o.cas_key = cas_key;
	if (getenv("PROBE_SHARED"))
		o.shared = mmap(
			NULL, sizeof(*o.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (config.volume_count == 0 || volume_client_new(&o, &config.volumes[0], &c, &err))
		die("volume", &err);
	run(c, &o);
	EVP_PKEY_free(o.key);
	X509_free(o.cert);
	service_config_free(&config);
	buf_free(&key);
	buf_free(&cert);
	buf_free(&json);
	return 0;
}
