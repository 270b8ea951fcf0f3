"""requests_client.py URL SECRET: what requests gets from http_server.py."""

import concurrent.futures
import hashlib
import sys

import requests

url, secret = sys.argv[1:]
with requests.Session() as s:
    for i in range(30):
        r = s.get(f"{url}/{secret}/{i}", timeout=60)
        assert r.text == f"/{secret}/{i} asked\n" * 100, r.text
    print("session", r.status_code, len(s.adapters["http://"].poolmanager.pools))
    print("cookie", s.get(f"{url}/cookie", timeout=60).text, s.get(f"{url}/cookie", timeout=60).text)
    print("redirect", s.get(f"{url}/redirect/{secret}", timeout=60).url.replace(url, ""))
    body = (secret * 200000).encode()
    print("post", s.post(f"{url}/p", data=body, timeout=60).text == f"{len(body)} {hashlib.sha256(body).hexdigest()}")
    print("chunked post", s.post(f"{url}/p", data=(b"%d " % i + secret.encode() for i in range(500)), timeout=60).text)
    with s.get(f"{url}/chunks/3000", stream=True, timeout=60) as r:
        print("stream", hashlib.sha256(b"".join(r.iter_content(1000))).hexdigest())
    try:
        s.get(f"{url}/cut/", timeout=60)
        print("cut: whole")
    except requests.exceptions.RequestException as e:
        print("cut", type(e).__name__)
    try:
        s.get(f"{url}/slow/", timeout=0.3)
        print("timeout: none")
    except requests.exceptions.RequestException as e:
        print("timeout", type(e).__name__)
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print("threads", sum(n == 100 for n in pool.map(lambda i: requests.get(f"{url}/{secret}.{i}", timeout=60).text.count("asked"), range(160))))
