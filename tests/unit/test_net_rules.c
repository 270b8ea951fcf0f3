#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "shield/net/rules.h"

#define P NET_RULES_PREFIX

static struct net_rules parse(const char *const *env)
{
	struct net_rules r;
	struct error err;

	if (net_rules_parse((char *const *)env, &r, &err))
		fail_msg("%s", err.text);
	return r;
}

static enum net_action decide(const struct net_rules *r, bool server, const char *place, const char *rule)
{
	const struct net_rule *found;
	struct net_place p;
	struct error err;
	enum net_action a;

	assert_int_equal(net_place_parse(place, &p, &err), 0);
	a = net_rules_decide(r, server, &p, &found);
	if (rule)
		assert_string_equal(found ? found->name : "-", rule);
	return a;
}

static void test_nothing_set(void **state)
{
	struct net_rules r = parse((const char *const[]){"PATH=/bin", "SCONE_NETWORK_SHIELDS=x", NULL});

	assert_int_equal(r.mode, NET_DISABLED);
	assert_int_equal(decide(&r, false, "TCP:10.0.0.1:80", "-"), NET_PASS);
	assert_int_equal(r.unsupported, NET_PASS);
	net_rules_free(&r);
}

static void test_modes(void **state)
{
	struct net_rules r = parse((const char *const[]){P "=protected", NULL});

	assert_int_equal(decide(&r, false, "TCP:10.0.0.1:80", "-"), NET_REFUSE);
	assert_int_equal(decide(&r, true, "unix:/run/x", "-"), NET_REFUSE);
	assert_int_equal(r.unsupported, NET_REFUSE);
	net_rules_free(&r);
	r = parse((const char *const[]){P "=protected", P "_UNSUPPORTED_PROTOCOLS=unprotected", NULL});
	assert_int_equal(r.unsupported, NET_PASS);
	net_rules_free(&r);
	r = parse((const char *const[]){P "_SERVER_A=refuse", P "_SERVER_A_PORT=TCP:25", NULL});
	assert_int_equal(r.mode, NET_UNPROTECTED);
	assert_int_equal(decide(&r, true, "TCP:0.0.0.0:25", "A"), NET_REFUSE);
	assert_int_equal(decide(&r, true, "TCP:0.0.0.0:26", "-"), NET_PASS);
	assert_int_equal(decide(&r, false, "TCP:127.0.0.1:25", "-"), NET_PASS);
	net_rules_free(&r);
	r = parse(
		(const char *const[]){P "=disabled", P "_SERVER_A=refuse", P "_SERVER_A_PORT=TCP:25", NULL});
	assert_int_equal(decide(&r, true, "TCP:0.0.0.0:25", "-"), NET_PASS);
	net_rules_free(&r);
}

static void test_places(void **state)
{
	struct net_rules r = parse((const char *const[]){P "_CLIENT_ANY=protected",
		P "_CLIENT_ANY_DESTINATION=TCP:db.example:5432", P "_CLIENT_ANY_DESTINATION_IP=*",
		P "_CLIENT_ANY_SERVER_AUTH=disabled", P "_CLIENT_LOOP=unprotected",
		P "_CLIENT_LOOP_DESTINATION=TCP:localhost:5432", P "_CLIENT_LOOP_DESTINATION_IP=127.0.0.1",
		P "_CLIENT_SIX=refuse", P "_CLIENT_SIX_DESTINATION=TCP:six:5432",
		P "_CLIENT_SIX_DESTINATION_IP=2001:db8::1", P "_CLIENT_U=protected",
		P "_CLIENT_U_DESTINATION=unix:/run/db.sock", P "_CLIENT_U_SERVER_DNS_NAME=db",
		P "_CLIENT_U_SERVER_AUTH=disabled", P "_SERVER_ABS=unprotected",
		P "_SERVER_ABS_PORT=unix:@name", NULL});

	assert_int_equal(decide(&r, false, "TCP:10.0.0.1:5432", "ANY"), NET_PROTECT);
	assert_int_equal(decide(&r, false, "TCP:127.0.0.1:5432", "LOOP"), NET_PASS);
	assert_int_equal(decide(&r, false, "TCP:[::ffff:127.0.0.1]:5432", "LOOP"), NET_PASS);
	assert_int_equal(decide(&r, false, "tcp:[2001:db8::1]:5432", "SIX"), NET_REFUSE);
	assert_int_equal(decide(&r, false, "TCP:10.0.0.1:5433", "-"), NET_PASS);
	assert_int_equal(decide(&r, false, "unix:/run/db.sock", "U"), NET_PROTECT);
	assert_int_equal(decide(&r, true, "unix:@name", "ABS"), NET_PASS);
	assert_int_equal(decide(&r, true, "unix:/name", "-"), NET_PASS);
	assert_string_equal(r.rule[0].peer_name, "db.example");
	net_rules_free(&r);
}

static void test_any_port(void **state)
{
	struct net_rules r = parse((const char *const[]){P "=protected", P "_CLIENT_ALL=protected",
		P "_CLIENT_ALL_DESTINATION=TCP:app.example:*", P "_CLIENT_ALL_DESTINATION_IP=*",
		P "_CLIENT_ALL_SERVER_AUTH=disabled", P "_CLIENT_LOOP=unprotected",
		P "_CLIENT_LOOP_DESTINATION=TCP:localhost:*", P "_CLIENT_LOOP_DESTINATION_IP=127.0.0.1",
		P "_CLIENT_DB=protected", P "_CLIENT_DB_DESTINATION=TCP:db.example:5432",
		P "_CLIENT_DB_DESTINATION_IP=*", P "_CLIENT_DB_SERVER_AUTH=disabled", P "_SERVER_ALL=refuse",
		P "_SERVER_ALL_PORT=TCP:*", P "_SERVER_WEB=unprotected", P "_SERVER_WEB_PORT=TCP:80", NULL});

	assert_int_equal(decide(&r, false, "TCP:10.0.0.1:1", "ALL"), NET_PROTECT);
	assert_int_equal(decide(&r, false, "TCP:10.0.0.1:65535", "ALL"), NET_PROTECT);
	assert_int_equal(decide(&r, false, "TCP:127.0.0.1:65535", "LOOP"), NET_PASS);
	assert_int_equal(
		decide(&r, false, "TCP:127.0.0.1:5432", "DB"), NET_PROTECT); /* the port goes first */
	assert_int_equal(decide(&r, true, "TCP:0.0.0.0:81", "ALL"), NET_REFUSE);
	assert_int_equal(decide(&r, true, "TCP:0.0.0.0:80", "WEB"), NET_PASS);
	assert_int_equal(decide(&r, true, "unix:/x", "-"), NET_REFUSE);
	net_rules_free(&r);
}

static void test_refused(void **state)
{
	static const struct {
		const char *env[5];
		const char *says;
	} cases[] = {
		{{P "=on"}, "wanted disabled, unprotected or protected"},
		{{P "_UNSUPPORTED_PROTOCOLS=protected"}, "wanted unprotected or refuse"},
		{{P "_SERVR_A=refuse"}, "none of the network shield"},
		{{P "_SERVER_=refuse"}, "1 to 64"},
		{{P "_SERVER_A=yes", P "_SERVER_A_PORT=TCP:1"}, "wanted protected, unprotected or refuse"},
		{{P "_SERVER_A_PORT=TCP:1"}, "has no variable " P "_SERVER_A:"},
		{{P "_SERVER_A=refuse"}, "_SERVER_A_PORT"},
		{{P "_SERVER_A=refuse", P "_SERVER_A_PORT=TCP:0"}, "wanted TCP:PORT or unix:PATH"},
		{{P "_SERVER_A=refuse", P "_SERVER_A_PORT=TCP:65536"}, "wanted TCP:PORT"},
		{{P "_SERVER_A=refuse", P "_SERVER_A_PORT=UDP:53"}, "wanted TCP:PORT"},
		{{P "_SERVER_A=refuse", P "_SERVER_A_PORT=unix:relative"}, "wanted TCP:PORT"},
		{{P "_SERVER_A=refuse", P "_SERVER_A_PORT=TCP:1", P "_SERVER_A_PORT=TCP:2"}, "given twice"},
		{{P "_SERVER_A=protected", P "_SERVER_A_PORT=TCP:1"}, "_SERVER_A_CLIENT_AUTH"},
		{{P "_CLIENT_A=protected", P "_CLIENT_A_DESTINATION=TCP:h:1"}, "_CLIENT_A_DESTINATION_IP"},
		{{P "_CLIENT_A=refuse", P "_CLIENT_A_DESTINATION=TCP:h:1", P "_CLIENT_A_DESTINATION_IP=h"},
			"an address or *"},
		{{P "_CLIENT_A=refuse", P "_CLIENT_A_DESTINATION=TCP:h h:1", P "_CLIENT_A_DESTINATION_IP=*"},
			"no DNS name"},
		{{P "_CLIENT_A=refuse", P "_CLIENT_A_DESTINATION=TCP:*.h:1", P "_CLIENT_A_DESTINATION_IP=*"},
			"no DNS name"},
		{{P "_CLIENT_A=protected", P "_CLIENT_A_DESTINATION=unix:/x",
			 P "_CLIENT_A_SERVER_AUTH=disabled"},
			"_SERVER_DNS_NAME"},
		{{P "_CLIENT_A=protected", P "_CLIENT_A_DESTINATION=TCP:1.2.3.4:5",
			 P "_CLIENT_A_DESTINATION_IP=1.2.3.4", P "_CLIENT_A_SERVER_AUTH=disabled"},
			"no identity"},
		{{P "_SERVER_A=refuse", P "_SERVER_A_PORT=TCP:1", P "_SERVER_B=refuse",
			 P "_SERVER_B_PORT=TCP:1"},
			"same port"},
		{{P "_SERVER_A=refuse", P "_SERVER_A_PORT=TCP:*", P "_SERVER_B=refuse",
			 P "_SERVER_B_PORT=TCP:*"},
			"same port"},
		{{P "_SERVER_A=refuse", P "_SERVER_A_PORT=TCP:**"}, "PORT may be *"},
		{{P "_CLIENT_A=refuse", P "_CLIENT_A_DESTINATION=TCP:h:8*", P "_CLIENT_A_DESTINATION_IP=*"},
			"PORT may be *"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *env[6] = {0};
		struct net_rules r;
		struct error err;

		memcpy(env, cases[i].env, sizeof(cases[i].env));
		if (net_rules_parse((char *const *)env, &r, &err) == 0)
			fail_msg("case %zu accepted, wanted \"%s\"", i, cases[i].says);
		if (!strstr(err.text, cases[i].says))
			fail_msg("case %zu: \"%s\", wanted \"%s\"", i, err.text, cases[i].says);
		assert_int_equal(r.count, 0);
	}
}

static void test_place_text(void **state)
{
	static const char *const same[] = {
		"TCP:127.0.0.1:80", "TCP:[2001:db8::1]:65535", "unix:/run/a b", "unix:@x"};
	static const char *const bad[] = {"TCP:host:80", "TCP:1.2.3.4", "TCP:1.2.3.4:", "TCP::80",
		"udp:1.2.3.4:5", "unix:", "unix:rel", "TCP:1.2.3.4:70000", "TCP:1.2.3.4:*", ""};
	struct net_place p;
	struct error err;
	char text[160];

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_int_equal(net_place_parse(same[i], &p, &err), 0);
		net_place_text(&p, text, sizeof(text));
		assert_string_equal(text, same[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(net_place_parse(bad[i], &p, &err), -1);
}

static void test_explain(void **state)
{
	struct net_rules r = parse((const char *const[]){P "=protected", P "_CLIENT_DB=protected",
		P "_CLIENT_DB_DESTINATION=TCP:db:5432", P "_CLIENT_DB_DESTINATION_IP=*",
		P "_CLIENT_DB_SERVER_AUTH=PEM", NULL});
	struct net_place p;
	struct error err;
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(net_place_parse("TCP:10.0.0.1:5432", &p, &err), 0);
	net_rules_explain(&r, false, &p, "other", &b);
	assert_non_null(strstr(buf_cstr(&b), "rule CLIENT_DB: TLS 1.3; the server needs a certificate"));
	assert_non_null(strstr(buf_cstr(&b), "with the name db"));
	assert_non_null(strstr(buf_cstr(&b), "other does not count"));
	buf_reset(&b);
	p.port = 1;
	net_rules_explain(&r, false, &p, NULL, &b);
	assert_non_null(strstr(
		buf_cstr(&b), "no rule names it, and SCONE_NETWORK_SHIELD is protected: it is refused"));
	buf_free(&b);
	net_rules_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_set),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_any_port),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_place_text),
		cmocka_unit_test(test_explain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
