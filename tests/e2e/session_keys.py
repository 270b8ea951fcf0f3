#!/usr/bin/env python3
"""Every key, kind, word and form of the session language, one document each: read, read with a warning, or refused by name, as the table in
docs/session-language.md says. `session_keys.py --table` prints that table."""

import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.abspath(os.environ.get('SCONE_BIN') or os.path.join(ROOT, 'build/bin'))
DOCUMENT = os.path.join(ROOT, 'docs/session-language.md')
M, KEY = '00' * 31 + '01', '3eZp39kmpxnAumxfqRNiGp29x35pcV5brnyaH8DjkKAd8mQSM53'
ATTEST = f'attestation: {{mrenclave: {M}}}'
# What a document needs besides the line that is tried.
TOP = 'name: a/b\nversion: "0.3"\n'
SIM = TOP + 'security: {attestation: {mode: simulation}}\n'


def service(line, more=''):
    return SIM + f'services:\n  - {{name: s, pwd: /, {ATTEST}, {line}}}\n' + more


def attestation(value, more=''):
    return SIM + f'services:\n  - {{name: s, pwd: /, attestation: {value}}}\n' + more


def secret(line, more=''):
    return TOP + 'secrets:\n' + more + f'  - {{name: n, {line}}}\n'


KEYS = '  - {name: k, kind: private-key}\n  - {name: p384, kind: private-key, key_type: P-384}\n  - {name: ca, kind: x509-ca, private_key: k}\n'


def volume(line):
    return TOP + f'volumes: [{{name: v, {line}}}]\n'


def image(line):
    return TOP + f'secrets: [{{name: n, kind: ascii}}]\nvolumes: [{{name: v}}]\nimages: [{{name: i, {line}}}]\n'


def access(line):
    return TOP + f'access_policy: {{{line}}}\n'


def security(line):
    return TOP + f'security: {{{line}}}\n'


def mode(line):
    return security(f'attestation: {{{line}}}')


def board(line):
    return TOP + f'secrets: [{{name: k, kind: private-key, key_type: Ed25519}}, {{name: p, kind: public-key, private_key: k}}]\nboard: {{{line}}}\n'


MEMBERS = 'members: [{name: a, key: $$SCONE::p$$}, {name: b, program: x/y}]'
REMOTE = f'session: x, cas_url: cas.example, cas_key: {KEY}'

# (section of the table, key, document)
TRIED = [
    ('document', '`version`: `0.3`, `0.3.0` to `0.3.12`', 'name: a\nversion: 0.3.12\n'),
    ('document', '`version: 0.2`', 'name: a\nversion: "0.2"\n'),
    ('document', 'no `version`: 0.1', 'name: a:b\nservices: [{name: s, mrenclaves: [' + M + '], pwd: /}]\n'),
    ('document', '`name`', TOP),
    ('document', '`namespace_hash`', TOP + f'namespace_hash: {M}\n'),
    ('document', '`predecessor`', TOP + f'predecessor: {M}\n'),
    ('document', '`salt`', TOP + f'salt: {"00" * 16}\n'),
    ('document', '`secret_config: {store_in: !cas}`', TOP + 'secret_config: {store_in: !cas }\n'),
    ('document', '`secret_config.store_in: !akv`, `token`, `vault`', TOP + 'secret_config: {store_in: !akv {token: t, vault: v}}\n'),
    ('document', '`digest`, `tags` of 0.1', 'name: a\ndigest: x\ntags: []\n'),
    ('document', '`digest`, `tags` of later versions', TOP + 'digest: x\n'),
    ('document', '`exports` of 0.1', 'name: a\nexports: []\n'),
    ('document', '`board_members: []`, `board_policy: {minimum: 0}`', TOP + 'board_members: []\nboard_policy: {minimum: 0, timeout: 30}\n'),
    ('document', '`board_members` with members', TOP + 'board_members: [x]\n'),
    ('service', '`command`', service('command: [p, "@@1"]')),
    ('service', '`environment`, `\\@\\@NAME`', service('environment: {A: 1, \\@\\@HOSTNAME: }')),
    ('service', '`pwd` (absent)', SIM + f'services: [{{name: s, {ATTEST}}}]\n'),
    ('service', '`image_name`', service('image_name: i', 'images: [{name: i}]\n')),
    ('service', '`image_name` of no image', service('image_name: i')),
    ('service', '`persistency: None`', service('persistency: None')),
    ('service', '`mrenclaves`', SIM + f'services: [{{name: s, pwd: /, mrenclaves: [{M}]}}]\n'),
    ('service', '`attestation.mrenclave`', attestation(f'[{{mrenclave: [{M}]}}]')),
    ('service', '`attestation.signer`: `mrsigner`, `isvprodid`, `isvsvn`, `isvsvn_min`, `isvsvn_max`',
     attestation(f'[{{signer: {{mrsigner: {M}, isvprodid: 1, isvsvn: 2}}}}, {{signer: {{mrsigner: {M}, isvprodid: 1, isvsvn_min: 2, isvsvn_max: 3}}}}]')),
    ('service', '`platforms`: `INTEL_QE_ID:`, key hash', TOP + f'services: [{{name: s, pwd: /, {ATTEST}, platforms: ["INTEL_QE_ID:{"00" * 16}", {M}]}}]\n'),
    ('service', '`one_time_password_shared_secret`', service('one_time_password_shared_secret: GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ')),
    ('service', '`fspf_path`, `fspf_key`, `fspf_tag`, `fspf_update_policy`', service(f'fspf_path: /f, fspf_key: {M}, fspf_tag: {"00" * 16}')),
    ('service', '`import` of 0.1', f'name: a\nservices: [{{name: s, pwd: /, mrenclaves: [{M}], import: x}}]\n'),
    ('service', '`tags` of 0.1', f'name: a\nservices: [{{name: s, pwd: /, mrenclaves: [{M}], tags: [x]}}]\n'),
    ('service', '`SCONE_NETWORK_SHIELD…` in `environment`', service('environment: {SCONE_NETWORK_SHIELD: unprotected}')),
    ('secret', '`kind: ascii`, `size`, `value`', secret('kind: ascii, size: 30')),
    ('secret', '`kind: binary`', secret('kind: binary, value: 00ff')),
    ('secret', '`kind: private-key`, `key_type`, `migrate`', secret('kind: private-key, key_type: RSA-3072, migrate: true')),
    ('secret', '`kind: public-key`, `private_key`', secret('kind: public-key, private_key: k', KEYS)),
    ('secret', '`kind: x509`, `issuer`, `common_name`, `endpoint`, `san`, `dns`, `valid_for`',
     secret('kind: x509, private_key: k, issuer: ca, common_name: c, endpoint: server, san: ["ip:::1"], dns: a.example, valid_for: 90 days', KEYS)),
    ('secret', '`kind: x509-ca`', secret('kind: x509-ca, private_key: k', KEYS)),
    ('secret', '`kind: pgp-key`', secret('kind: pgp-key')),
    ('secret', '`kind: config-fragment`', secret('kind: config-fragment, value: [1, {a: b}]')),
    ('secret', '`kind: jwt`, `signer`, `alg`, `validity`, `payload`',
     secret('kind: jwt, signer: p384, alg: ES384, validity: {for: 1h}, payload: {a: "$$SCONE::self::software_identity$$"}', KEYS)),
    ('secret', '`kind: session-ca` of 0.2', 'name: a\nversion: "0.2"\nsecrets: [{name: c, kind: session-ca}]\n'),
    ('secret', '`kind: aad-token`, `tenant_id`, `client_id`, `application_secret`, `certificate_thumbprint`',
     secret('kind: aad-token, tenant_id: a, client_id: b, application_secret: c')),
    ('secret', '`export_public`', secret('kind: ascii, export_public: true')),
    ('secret', '`export`: `session`, `session_hash`, `namespace`; one line', secret(f'kind: ascii, export: [{{session: ../x, session_hash: {M}}}, '
                                                                                   '{namespace: y}, /session=z]')),
    ('secret', '`import`: `session`, `secret`, `session_hash`', secret(f'import: {{session: x, secret: y, session_hash: {M}}}')),
    ('secret', '`cas_url`, `cas_key`', secret(f'import: {{{REMOTE}, secret: y}}')),
    ('secret', '`cas_software_key`', secret(f'import: {{session: x, secret: y, cas_url: c, cas_software_key: {KEY}}}')),
    ('secret', '`import_akv`: `vault`, `secret_name`, `token`, `decryption_key`', secret('import_akv: {vault: v}')),
    ('secret', 'generation keys beside `import` or `value`', secret('kind: ascii, size: 3, value: x')),
    ('volume', '`fspf_key`, `fspf_tag`', volume(f'fspf_key: {M}, fspf_tag: {"00" * 16}')),
    ('volume', '`files: encrypted`', volume('files: encrypted')),
    ('volume', '`files: authenticated-only`', volume('files: authenticated-only')),
    ('volume', '`export`: reference, `to`, `update_policy`, `volume_alias`', volume('export: [{session: x}, {to: {session: y}, update_policy: ephemeral, '
                                                                                   'volume_alias: w}]')),
    ('volume', '`export` to another CAS', volume(f'export: {{{REMOTE}}}')),
    ('volume', '`import`', volume('import: {session: x, volume: y}')),
    ('image', '`volumes`: `name`, `path`, `update_policy`', image('volumes: [{name: v, path: /v, update_policy: no_rollback_protection}]')),
    ('image', '`injection_files`: path, `path`, `content`, `permission`', image('injection_files: [/a, {path: /b, content: "$$SCONE::n$$", permission: 0o640}]')),
    ('image', '`provide_secrets`', image('provide_secrets: [n]')),
    ('image', '`mrenclaves`, `tags` of 0.1', f'name: a\nimages: [{{name: i, mrenclaves: [{M}], tags: []}}]\n'),
    ('access_policy', '`read`, `update`, `create_sessions`, `list_sessions`', access(f'read: [CREATOR, {KEY}], update: CREATOR, create_sessions: ANY, '
                                                                                     'list_sessions: NONE')),
    ('access_policy', '`signer`, `require-all`, `require-at-least-N`', TOP + 'secrets: [{name: k, kind: private-key, key_type: Ed25519}, {name: p, kind: '
     'public-key, private_key: k}]\naccess_policy: {update: {require-all: [CREATOR, {require-at-least-1: [{signer: $$SCONE::p$$}]}]}}\n'),
    ('access_policy', 'a template for all of it', TOP + 'secrets: [{name: f, kind: config-fragment, value: {read: ANY}}]\naccess_policy: $$SCONE::f$$\n'),
    ('access_policy', 'SHA-256 hex of a certificate (0.2)', f'name: a\nversion: "0.2"\naccess_policy: {{read: [{M}]}}\n'),
    ('security', '`singleton_enclaves`', security('singleton_enclaves: true')),
    ('security', '`service_access_token`', security('service_access_token: word')),
    ('security', '`mode: hardware`', mode('mode: hardware')),
    ('security', '`mode: simulation`, `none`', mode('mode: none')),
    ('security', '`mode: maa`', mode('mode: maa')),
    ('security', '`url`', mode('url: https://t.r.attest.azure.net/')),
    ('security', '`url: ~`', mode('url: ~')),
    ('security', '`certificates`, `min_rsa_signing_key_size`', mode('certificates: [], min_rsa_signing_key_size: 2048')),
    ('security', '`tolerate`: `hyperthreading`, `insecure-igpu`, `aepic-leak`, `software-hardening-needed`, `insecure-configuration`, `outdated-tcb`',
     mode('tolerate: [hyperthreading, insecure-igpu, aepic-leak, software-hardening-needed, insecure-configuration, outdated-tcb]')),
    ('security', '`tolerate: [debug-mode]`', mode('tolerate: [debug-mode]')),
    ('security', '`tolerate: [maa-managed-tcb, local-attestation-trust-cas-tcb]`', mode('tolerate: [maa-managed-tcb, local-attestation-trust-cas-tcb]')),
    ('security', '`ignore_advisories`', mode('ignore_advisories: [INTEL-SA-00161]')),
    ('security', '`ignore_advisories: "*"`', mode('ignore_advisories: "*"')),
    ('security', '`must_be_sgx_local: false`, `trusted_scone_qe_pubkeys: []`', mode('must_be_sgx_local: false, trusted_scone_qe_pubkeys: []')),
    ('security', '`must_be_sgx_local: true`', mode('must_be_sgx_local: true')),
    ('security', '`trusted_scone_qe_pubkeys` with keys', mode(f'trusted_scone_qe_pubkeys: [{M}]')),
    ('security', '`one_time_password_shared_secret`', mode('one_time_password_shared_secret: GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ')),
    ('board', '`members`: `name`, `key`, `program`, `veto`; `approvals`, `expires`, `actions`', board(f'{MEMBERS}, approvals: 1, expires: 1h, actions: [update, read]')),
    ('any', 'a key that the language has not', TOP + 'nmae: x\n'),
]


def judge(text):
    """What `scone session check` says of a document: the names of its errors, else of its warnings."""
    with tempfile.NamedTemporaryFile('w', suffix='.yml') as f:
        f.write(text)
        f.flush()
        p = subprocess.run([os.path.join(BIN, 'scone'), 'session', 'check', '--no-substitute', f.name], capture_output=True, text=True, timeout=60)
    names = re.findall(r'\[([EW]-[A-Z]+)\]', p.stdout + p.stderr)
    errors, warnings = (sorted({n for n in names if n[0] == c}) for c in 'EW')
    if (p.returncode == 0) != (not errors) or p.returncode not in (0, 4):
        return f'exit code {p.returncode}: {p.stdout}{p.stderr}'
    # Every document of a service says simulation.
    warnings = [w for w in warnings if w != 'W-MODE' or 'mode: simulation' not in text]
    return 'refused: ' + ', '.join(f'`{e}`' for e in errors) if errors else 'warning: ' + ', '.join(f'`{w}`' for w in warnings) if warnings else 'read'


def main():
    rows = [(section, key, judge(text)) for section, key, text in TRIED]
    table = ['| where | key, word or form | here |', '|---|---|---|', *(f'| {s} | {k} | {seen} |' for s, k, seen in rows)]
    if sys.argv[1:] == ['--table']:
        print('\n'.join(table))
        return 0
    document = open(DOCUMENT).read().splitlines()
    passed = failed = 0
    for (section, key, seen), line in zip(rows, table[2:]):
        if line in document:
            print(f'ok {section}: {key}: {seen}')
            passed += 1
        else:
            print(f'not ok {section}: {key}: {seen}, which the table of docs/session-language.md does not say')
            failed += 1
    there = [line for line in document if re.match(r'\| (document|service|secret|volume|image|access_policy|security|board|any) \|', line)]
    extra = [line for line in there if line not in table]
    print(('not ok' if extra else 'ok') + f' the table has a document for each of its lines {extra}')
    print(f'{passed + (not extra)} passed, {failed + bool(extra)} failed')
    return 1 if failed or extra else 0


sys.exit(main())
