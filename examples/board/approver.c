/* A member of a board that is a program. It approves an update if every service in it runs in a TEE and starts only programs whose measurement is on a
 * list, and rejects it otherwise. An ordinary program with libcurl and jansson: what it needs comes from its session, in memory; see README.md.
 *
 * Environment: TICKET, CAS (HOST:PORT), CAS_PIN (as for curl --pinnedpubkey), MEMBER (its name on the board), ROUNDS (how often it looks).
 * Argument: the list, a file with one measurement in hex a line. */
#include <curl/curl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX (16 * 1024 * 1024)
#define LIST_MAX 10000
#define DOMAIN "openscone-session-v1"

struct text {
	char *p;
	size_t n;
};

static char list[LIST_MAX][65];
static size_t listed;

static size_t take(char *p, size_t size, size_t n, void *arg)
{
	struct text *t = arg;
	char *grown = t->n + size * n < ANSWER_MAX ? realloc(t->p, t->n + size * n + 1) : NULL;

	if (!grown)
		return 0;
	t->p = grown;
	memcpy(t->p + t->n, p, size * n);
	t->n += size * n;
	t->p[t->n] = '\0';
	return size * n;
}

/* The answer as JSON, which may be an error of CAS; NULL: none came. */
static json_t *call(const char *path, const char *body)
{
	struct curl_slist *headers = NULL;
	char url[512], header[4096];
	struct text answer = {0};
	CURL *c = curl_easy_init();
	json_t *j = NULL;
	CURLcode rc;

	if (!c)
		return NULL;
	snprintf(url, sizeof(url), "https://%s/v1/proposals%s", getenv("CAS"), path);
	snprintf(header, sizeof(header), "Authorization: Attested %s", getenv("TICKET"));
	headers = curl_slist_append(headers, header);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	/* The pinned key is the whole trust; the certificate is signed by itself. */
	curl_easy_setopt(c, CURLOPT_PINNEDPUBLICKEY, getenv("CAS_PIN"));
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 20L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &answer);
	if (body)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	rc = curl_easy_perform(c);
	if (rc)
		fprintf(stderr, "approver: %s: %s\n", url, curl_easy_strerror(rc));
	else
		j = json_loadb(answer.p ? answer.p : "", answer.n, 0, NULL);
	free(answer.p);
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
	return j;
}

static const char *text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

static bool is_listed(const char *measurement)
{
	for (size_t i = 0; measurement && i < listed; i++)
		if (!strcmp(list[i], measurement))
			return true;
	return false;
}

/* Is what is shown what would be in force? */
static bool hash_fits(const json_t *proposal, const char *canonical)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	char hex[65] = "";
	bool done = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(c, DOMAIN, sizeof(DOMAIN)) == 1 &&
		    EVP_DigestUpdate(c, canonical, strlen(canonical)) == 1 &&
		    EVP_DigestFinal_ex(c, digest, NULL) == 1;

	EVP_MD_CTX_free(c);
	for (size_t i = 0; done && i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return done && !strcmp(hex, text(proposal, "new"));
}

/* Only what names measurements, all of them listed; a signer or a template instead of them could be any program. */
static bool service_is_good(const json_t *service)
{
	const json_t *alternatives = json_object_get(service, "attestation"), *a, *m;
	size_t i, k;

	if (!json_is_array(alternatives) || !json_array_size(alternatives) ||
		json_object_get(service, "code"))
		return false;
	json_array_foreach (alternatives, i, a) {
		const json_t *measurements = json_object_get(a, "mrenclave");

		if (!json_is_array(measurements) || !json_array_size(measurements))
			return false;
		json_array_foreach (measurements, k, m)
			if (!is_listed(json_string_value(m)))
				return false;
	}
	return true;
}

static bool is_good(const json_t *proposal)
{
	const char *canonical = text(json_object_get(proposal, "after"), "canonical");
	json_t *doc = json_loads(canonical, 0, NULL);
	const json_t *services = json_object_get(doc, "services"), *service,
		     *security = json_object_get(doc, "security"),
		     *attestation = json_object_get(security, "attestation");
	bool good = doc && !strcmp(text(proposal, "action"), "update") && hash_fits(proposal, canonical);
	size_t i;

	good = good && (!security || json_is_object(security)) &&
	       (!attestation || json_is_object(attestation)) && (!services || json_is_array(services)) &&
	       strcmp(text(attestation, "mode"), "none") != 0;
	json_array_foreach (services, i, service)
		good = good && service_is_good(service);
	json_decref(doc);
	return good;
}

static bool is_mine(const json_t *proposal)
{
	const json_t *m;
	size_t i;

	json_array_foreach (json_object_get(proposal, "members"), i, m)
		if (!strcmp(text(m, "name"), getenv("MEMBER")) && json_is_null(json_object_get(m, "vote")))
			return !strcmp(text(proposal, "state"), "open");
	return false;
}

static void decide(const char *id)
{
	char path[128], body[256];
	const char *choice;
	json_t *proposal, *after;

	snprintf(path, sizeof(path), "/%s", id);
	proposal = call(path, NULL);
	if (!proposal || strcmp(text(proposal, "id"), id) != 0) {
		json_decref(proposal);
		return;
	}
	choice = is_good(proposal) ? "approve" : "reject";
	snprintf(path, sizeof(path), "/%s/votes", id);
	snprintf(body, sizeof(body),
		"{\"format\":\"openscone-vote-v1\",\"proposal\":\"%s\",\"choice\":\"%s\"}", id, choice);
	after = call(path, body);
	printf("%s %s: %s%s\n", choice, id, text(after, "state"),
		text(json_object_get(after, "error"), "text"));
	fflush(stdout);
	json_decref(after);
	json_decref(proposal);
}

static bool read_list(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[256];

	while (f && listed < LIST_MAX && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strlen(line) == 64 && strspn(line, "0123456789abcdef") == 64)
			memcpy(list[listed++], line, sizeof(list[0]));
	}
	if (f)
		fclose(f);
	return f != NULL;
}

int main(int argc, char **argv)
{
	static const char *const wanted[] = {"TICKET", "CAS", "CAS_PIN", "MEMBER", "ROUNDS"};
	const json_t *p;
	size_t i;

	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!getenv(wanted[i])) {
			fprintf(stderr, "approver: %s is not set\n", wanted[i]);
			return 2;
		}
	if (argc != 2 || !read_list(argv[1])) {
		fprintf(stderr, "usage: approver LIST\n");
		return 2;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	for (int round = 0; round < atoi(getenv("ROUNDS")); round++) {
		json_t *j;

		if (round)
			sleep(1);
		j = call("", NULL);
		json_array_foreach (json_object_get(j, "proposals"), i, p)
			if (is_mine(p) && strlen(text(p, "id")) == 64)
				decide(text(p, "id"));
		json_decref(j);
	}
	curl_global_cleanup();
	return 0;
}
